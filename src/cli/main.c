#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/cli.h"
#include "cli/table.h"

static const struct cli_verb verbs[] = {
	{"apply", "create or change what manifests describe", verb_apply},
	{"get", "list objects, or show some of them", verb_get},
	{"describe", "show an object with what happened to it", verb_describe},
	{"delete", "delete objects", verb_delete},
	{"logs", "show what a pod's container wrote", verb_logs},
	{"exec", "run a command in a container", verb_exec},
	{"explain", "say why a pod is where it is, or why it is nowhere", verb_explain},
	{"plan", "show where the pods of manifests would go, and apply nothing", verb_plan},
	{"watch", "follow pods: node, state, pull progress, why", verb_watch},
	{"adopt", "make workloads of the containers that Docker runs, as they are", verb_adopt},
	{"leave", "give a node's containers back and take it out of the domain", verb_leave},
	{"node", "list, label and revoke nodes", verb_node},
	{"image", "carry images to places without a registry", verb_image},
	{"token", "make, list and delete join tokens", verb_token},
	{"version", "show the versions of this program and of the server", verb_version},
	{NULL, NULL, NULL},
};

static void print_verbs(FILE *out, const struct cli_verb *list)
{
	for (; list && list->name; list++)
		fprintf(out, "  %-10s %s\n", list->name, list->summary);
}

static void print_overview(FILE *out, const struct cli_verb *more)
{
	fputs("Usage: continuo VERB [arguments]\n\nVerbs:\n", out);
	print_verbs(out, verbs);
	print_verbs(out, more);
	fputs("\ncontinuo VERB --help tells more.\n", out);
}

static const struct cli_verb *find_verb(const struct cli_verb *list, const char *name)
{
	for (; list && list->name; list++)
		if (strcmp(list->name, name) == 0)
			return list;
	return NULL;
}

/* It may quote what is not ours: a name in an archive, an answer. Line ends in it are. */
int cli_fail(const struct err *e)
{
	CLEANUP(buf_done) struct buf plain = BUF_INIT;
	for (const char *at = e->text; *at; at += *at == '\n') {
		size_t size = strcspn(at, "\n");
		CLEANUP(mem_free_ptr) char *line = mem_dup_bytes(at, size);
		table_plain(line, &plain);
		at += size;
		if (*at)
			buf_append_char(&plain, '\n');
	}
	fflush(stdout);
	fprintf(stderr, "error: %s\n", buf_text(&plain));
	return err_exit_status(e->code);
}

int cli_main(int argc, char **argv, const struct cli_verb *more)
{
	const char *name = argc > 1 ? argv[1] : NULL;
	if (str_equal(name, "help") || str_equal(name, "--help") || str_equal(name, "-h")) {
		print_overview(stdout, more);
		return 0;
	}
	if (str_equal(name, "--version"))
		name = "version";
	if (!name) {
		print_overview(stderr, more);
		return 2;
	}
	const struct cli_verb *verb = find_verb(verbs, name);
	if (!verb)
		verb = find_verb(more, name);
	if (!verb) {
		struct err e = ERR_INIT;
		err_set(&e, ERR_USAGE, "there is no verb \"%.60s\" (see continuo --help)", name);
		return cli_fail(&e);
	}
	return verb->run(argc - 1, argv + 1);
}

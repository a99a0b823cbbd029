#include <stdio.h>
#include <string.h>

#include "cli/client.h"

int verb_version(int argc, char **argv)
{
	struct cli_common common = {0};
	bool client_only = false;
	const struct cli_option options[] = {
		{0, "client", CLI_FLAG, &client_only, NULL, "of this program only"},
	};
	const struct cli_usage usage = {.synopsis = "version [options]",
		.text = "Shows the versions of this program and of the server.\n",
		.options = options,
		.option_count = ARRAY_SIZE(options),
		.common = &common};
	CLEANUP(cli_args_done) struct cli_args args = {0};
	CLEANUP(client_done) struct client *c = NULL;
	CLEANUP(json_done) json_t *answer = NULL;
	struct err e = ERR_INIT;
	int r = cli_parse(&usage, argc, argv, &args, &e);
	if (r > 0)
		return 0;
	if (r == 0)
		puts("Client: continuo " CONTINUO_VERSION);
	if (r < 0)
		return cli_fail(&e);
	/* `continuo --version` answers on a machine that knows no server. */
	if (client_only || strcmp(argv[0], "--version") == 0)
		return 0;
	r = client_new(&common, &c, &e);
	if (r == 0)
		r = client_get(c, "/version", NULL, &answer, &e);
	if (r < 0)
		return cli_fail(&e);
	printf("Server: %s (%s)\n", json_text(answer, "?", "gitVersion"), client_server(c));
	return 0;
}

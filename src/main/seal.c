/*
 * continuo-seal: gives a key to this machine's TPM 2.0 to seal, or gets it back, and ends. Started
 * by the agent, whose memory stays free of the TPM software stack.
 *
 *   continuo-seal seal [--tcti NAME:CONFIGURATION] < KEY > BLOB
 *   continuo-seal unseal [--tcti NAME:CONFIGURATION] < BLOB > KEY
 *
 * Exit status: 0 done; 1 the TPM refused; 2 wrong usage; 3 no TPM answers; 4 the TPM was busy for
 * seconds; 5 the blob is another TPM's, or damaged. One line on stderr says why; nothing is written
 * to stdout then. It ends by itself after 30 s, whatever the TPM does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/str.h"
#include "main/seal_tpm.h"

#define DEADLINE_S 30

static const char usage[] =
	"Usage: continuo-seal seal|unseal [--tcti NAME:CONFIGURATION]\n\n"
	"Seals what it reads (128 bytes at most) by this machine's TPM 2.0, or gives back what\n"
	"was sealed. For continuo-agent.\n\n"
	"  --tcti NAME:CONFIGURATION\n"
	"        the way to the TPM, " SEAL_TPM_TCTI " unless given\n"
	"  --help, --version\n";

static int exit_status(enum err_code code)
{
	switch (code) {
	case ERR_USAGE:
		return 2;
	case ERR_UNAVAILABLE:
		return 3;
	case ERR_BUSY:
		return 4;
	case ERR_CORRUPT:
		return 5;
	default:
		return 1;
	}
}

static int complain(const struct err *e)
{
	fprintf(stderr, "continuo-seal: %s\n", e->text);
	return exit_status(e->code);
}

static int read_input(struct buf *ret_input, struct err *e)
{
	unsigned char piece[1024];
	size_t size;
	while ((size = fread(piece, 1, sizeof(piece), stdin)) > 0)
		buf_append(ret_input, piece, size);
	explicit_bzero(piece, sizeof(piece));
	if (ferror(stdin))
		return err_set(e, ERR_IO, "cannot read the standard input");
	if (buf_check(ret_input, "the input", NULL) < 0)
		return err_set(e, ERR_USAGE, "the input has more than %d bytes", SEAL_TPM_BLOB_MAX);
	return 0;
}

static int write_output(const struct buf *output, struct err *e)
{
	if (fwrite(output->data, 1, output->size, stdout) != output->size || fflush(stdout) != 0)
		return err_set(e, ERR_IO, "cannot write to the standard output");
	return 0;
}

static int work(const char *verb, const char *tcti, struct err *e)
{
	CLEANUP(buf_done) struct buf input = BUF_INIT_LIMIT(SEAL_TPM_BLOB_MAX);
	CLEANUP(buf_done) struct buf output = BUF_INIT_LIMIT(SEAL_TPM_BLOB_MAX);
	int r = read_input(&input, e);
	if (r == 0)
		r = str_equal(verb, "seal")
			    ? seal_tpm_seal(tcti, input.data, input.size, &output, e)
			    : seal_tpm_unseal(tcti, input.data, input.size, &output, e);
	if (r == 0)
		r = write_output(&output, e);
	if (input.data)
		explicit_bzero(input.data, input.size);
	if (output.data)
		explicit_bzero(output.data, output.size);
	return r;
}

int main(int argc, char **argv)
{
	struct err e = ERR_INIT;
	const char *verb = argc > 1 ? argv[1] : "", *tcti = SEAL_TPM_TCTI;
	if (str_equal(verb, "--help")) {
		fputs(usage, stdout);
		return 0;
	}
	if (str_equal(verb, "--version")) {
		puts("continuo-seal " CONTINUO_VERSION);
		return 0;
	}
	if (argc == 4 && str_equal(argv[2], "--tcti"))
		tcti = argv[3];
	else if (argc != 2)
		verb = "";
	if (!str_equal(verb, "seal") && !str_equal(verb, "unseal")) {
		fputs(usage, stderr);
		return 2;
	}
	/* Neither a core file nor another program of the same user sees the key. */
	prctl(PR_SET_DUMPABLE, 0);
	alarm(DEADLINE_S);
	/* One line says what is wrong; the libraries would say it again in their own. */
	setenv("TSS2_LOG", "all+none", 0);
	return work(verb, tcti, &e) < 0 ? complain(&e) : 0;
}

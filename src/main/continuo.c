/* The executable `continuo`: the command line, the server and the simulator. */
#include <stddef.h>

#include "cli/cli.h"
#include "main/server.h"
#include "main/simulate.h"

static const struct cli_verb verbs[] = {
	{"server", "run the server of a domain", main_server},
	{"sim", "run a simulated continuum with faults, from a seed", main_simulate},
	{NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
	return cli_main(argc, argv, verbs);
}

#include <stdio.h>
#include <string.h>

#include "main/server.h"

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "server") == 0)
		return main_server(argc - 1, argv + 1);
	fputs("Usage: continuo VERB [options]\n\n  server   run the server of a domain\n", stderr);
	return 2;
}

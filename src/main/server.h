/* The verb `continuo server`. */
#ifndef CONTINUO_MAIN_SERVER_H
#define CONTINUO_MAIN_SERVER_H

/* Runs until SIGINT or SIGTERM. argv[0] is "server". Returns the exit status. */
int main_server(int argc, char **argv);

#endif

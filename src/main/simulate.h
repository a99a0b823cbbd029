/* The verb `continuo sim`. */
#ifndef CONTINUO_MAIN_SIMULATE_H
#define CONTINUO_MAIN_SIMULATE_H

/* argv[0] is "sim". Returns the exit status: 0 when every check held. */
int main_simulate(int argc, char **argv);

#endif

/* What a process that mostly waits can give back. */
#ifndef CONTINUO_SYS_MEMORY_H
#define CONTINUO_SYS_MEMORY_H

/*
 * Returns free heap to the system, and drops the pages of code and constants from this process:
 * they are clean copies of files, so what is needed again is mapped again from the page cache, and
 * what only a start or a burst needed (parsers, key generation, start-up of libraries) stays away.
 * Takes below a millisecond; for after bursts, not for loops.
 */
void memory_give_back(void);

#endif

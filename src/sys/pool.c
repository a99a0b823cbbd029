#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "sys/loop_uv_private.h"

#define POOL_STACK_BYTES ((size_t)512 << 10)
#define POOL_IDLE_S 5

struct job {
	struct list link;
	void (*work)(void *arg);
	void (*done)(void *arg);
	void *arg;
};

struct pool {
	pthread_mutex_t lock;          /* protects all that follows */
	pthread_cond_t more;           /* a job was added, or the end began */
	pthread_cond_t less;           /* a thread ended */
	struct list waiting, finished; /* of struct job */
	int limit, threads, idle;
	bool ending;
	void (*wake)(void *arg); /* constant */
	void *wake_arg;
};

/* Waits until there is a job; false when the thread should end. Called with the lock held. */
static bool await_job(struct pool *p)
{
	struct timespec until;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += POOL_IDLE_S;
	while (list_empty(&p->waiting)) {
		if (p->ending)
			return false;
		p->idle++;
		int failed = pthread_cond_timedwait(&p->more, &p->lock, &until);
		p->idle--;
		if (failed && list_empty(&p->waiting))
			return false;
	}
	return true;
}

static void *run_thread(void *arg)
{
	struct pool *p = arg;
	pthread_mutex_lock(&p->lock);
	while (await_job(p)) {
		struct job *job = LIST_ITEM(p->waiting.next, struct job, link);
		list_remove(&job->link);
		pthread_mutex_unlock(&p->lock);
		job->work(job->arg);
		pthread_mutex_lock(&p->lock);
		list_append(&p->finished, &job->link);
		p->wake(p->wake_arg);
	}
	p->threads--;
	pthread_cond_signal(&p->less);
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct pool *pool_new(int threads, void (*wake)(void *arg), void *arg)
{
	struct pool *p = mem_new(struct pool);
	pthread_condattr_t clock;
	pthread_condattr_init(&clock);
	pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->more, &clock);
	pthread_cond_init(&p->less, NULL);
	pthread_condattr_destroy(&clock);
	list_init(&p->waiting);
	list_init(&p->finished);
	p->limit = threads < 1 ? 1 : threads > 16 ? 16 : threads;
	p->wake = wake;
	p->wake_arg = arg;
	return p;
}

/* Called with the lock held. Signals stay with the loop's thread. */
static void start_thread(struct pool *p)
{
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, POOL_STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigset_t all, old;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_t thread;
	if (pthread_create(&thread, &attr, run_thread, p) == 0)
		p->threads++;
	else if (p->threads == 0)
		abort(); /* not even one: jobs would never end */
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
}

void pool_submit(struct pool *p, void (*work)(void *), void (*done)(void *), void *arg)
{
	struct job *job = mem_new(struct job);
	*job = (struct job){.work = work, .done = done, .arg = arg};
	pthread_mutex_lock(&p->lock);
	list_append(&p->waiting, &job->link);
	if (p->idle > 0)
		pthread_cond_signal(&p->more);
	else if (p->threads < p->limit)
		start_thread(p);
	pthread_mutex_unlock(&p->lock);
}

void pool_run_done(struct pool *p)
{
	struct list ready;
	list_init(&ready);
	pthread_mutex_lock(&p->lock);
	LIST_EACH (&p->finished, link) {
		list_remove(link);
		list_append(&ready, link);
	}
	pthread_mutex_unlock(&p->lock);
	while (!list_empty(&ready)) {
		struct job *job = LIST_ITEM(ready.next, struct job, link);
		list_remove(&job->link);
		job->done(job->arg);
		free(job);
	}
}

void pool_free(struct pool *p)
{
	pthread_mutex_lock(&p->lock);
	p->ending = true;
	pthread_cond_broadcast(&p->more);
	while (p->threads > 0)
		pthread_cond_wait(&p->less, &p->lock);
	pthread_mutex_unlock(&p->lock);
	pool_run_done(p);
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->more);
	pthread_cond_destroy(&p->less);
	free(p);
}

#include "cli/adopt_docker.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "driver/docker_api.h"
#include "sys/loop_uv.h"

struct engine {
	struct loop *loop;
	struct docker_api *api;
	const char *socket_path;
	struct map images;
	/* Of the request that is under way. */
	bool done;
	json_t *answer;
	struct err e;
};

static void on_answer(void *arg, int status, const json_t *answer, const struct err *e)
{
	struct engine *x = arg;
	(void)status;
	x->done = true;
	x->answer = json_incref((json_t *)(uintptr_t)answer);
	if (e)
		x->e = *e;
	loop_uv_stop(x->loop);
}

/* -ERR_NOT_FOUND: there is no such thing (any more). */
static int get(struct engine *x, const char *path, json_t **ret_json, struct err *e)
{
	x->done = false;
	x->answer = NULL;
	x->e = ERR_INIT;
	docker_api_call(x->api, "GET", path, NULL, on_answer, x);
	while (!x->done)
		loop_uv_run(x->loop);
	*ret_json = x->answer;
	if (x->e.code == ERR_UNAVAILABLE)
		return err_set(e, ERR_UNAVAILABLE,
			"cannot reach Docker at %.100s: %.200s (does it run, and may you use it? "
			"--docker-socket names another)",
			x->socket_path, x->e.text);
	if (x->e.code)
		return err_set(e, x->e.code, "Docker at %.100s: %.300s", x->socket_path, x->e.text);
	return 0;
}

static json_t *get_image(struct engine *x, const char *id)
{
	json_t *image = map_get(&x->images, id);
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	if (image || str_empty(id))
		return image ? json_incref(image) : json_null();
	buf_append_string(&path, "/images/");
	docker_query_append(&path, id);
	buf_append_string(&path, "/json");
	if (get(x, path.data, &image, NULL) < 0 || !image)
		return json_null(); /* it runs on without its image */
	map_put(&x->images, id, image);
	return json_incref(image);
}

static int read_one(struct engine *x, const char *id, json_t *found, struct err *e)
{
	json_t *container = NULL;
	CLEANUP(buf_done) struct buf path = BUF_INIT;
	buf_append_string(&path, "/containers/");
	docker_query_append(&path, id);
	buf_append_string(&path, "/json");
	int r = get(x, path.data, &container, e);
	if (r == -ERR_NOT_FOUND)
		return 0;
	if (r < 0)
		return r;
	json_t *image = get_image(x, json_text(container, "", "Image"));
	json_array_append_new(found,
		json_pack("{s:o, s:o}", "container", container, "image", image));
	return 0;
}

static int read_all(struct engine *x, json_t *found, struct err *e)
{
	CLEANUP(json_done) json_t *list = NULL;
	int r = get(x, "/containers/json", &list, e);
	if (r == 0 && !json_is_array(list))
		r = err_set(e, ERR_PROTOCOL, "what answers at %.100s is not Docker",
			x->socket_path);
	for (size_t i = 0; r == 0 && i < json_array_size(list); i++)
		r = read_one(x, json_text(json_array_get(list, i), "", "Id"), found, e);
	return r;
}

static void free_image(void *image)
{
	json_decref(image);
}

int adopt_docker_read(const char *socket_path, json_t **ret_found, struct err *e)
{
	struct engine x = {.socket_path = socket_path, .loop = loop_uv_new(1)};
	x.api = docker_api_new(x.loop, socket_path);
	map_init(&x.images, free_image);
	json_t *found = json_array();
	int r = read_all(&x, found, e);
	if (r == 0)
		*ret_found = json_incref(found);
	json_decref(found);
	map_done(&x.images);
	docker_api_free(x.api);
	loop_uv_free(x.loop);
	return r;
}

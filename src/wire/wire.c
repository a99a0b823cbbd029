#include "wire/wire.h"

#include <string.h>

#include "base/mem.h"

void wire_reader_done(struct wire_reader *r)
{
	buf_done(&r->buffer);
}

static int read_line(const char *line, size_t size, wire_message_cb *cb, void *arg, struct err *e)
{
	if (size && line[size - 1] == '\r')
		size--;
	if (!size)
		return 0;
	CLEANUP(json_done) json_t *message = NULL;
	int r = json_decode(line, size, &message, e);
	if (r < 0)
		return r;
	const char *type = json_text(message, NULL, "type");
	if (!type)
		return err_set(e, ERR_DECODE, "a message has no \"type\"");
	return cb(arg, type, message, e);
}

static int take_line(struct wire_reader *r, const char *line, size_t size, wire_message_cb *cb,
	void *arg, struct err *e)
{
	if (!r->skip_bad)
		return read_line(line, size, cb, arg, e);
	struct err why = ERR_INIT;
	if (read_line(line, size, cb, arg, &why) < 0 && r->skipped++ == 0)
		r->why = why;
	return 0;
}

int wire_read(struct wire_reader *r, const void *data, size_t size, wire_message_cb *cb, void *arg,
	struct err *e)
{
	r->buffer.limit = WIRE_LINE_MAX;
	const char *at = data, *end = at + size;
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t part = (size_t)((newline ? newline : end) - at);
		int result = 0;
		if (newline && !r->buffer.size) {
			result = take_line(r, at, part, cb, arg, e);
		} else {
			buf_append(&r->buffer, at, part);
			result = buf_check(&r->buffer, "a message", e);
			if (result == 0 && newline)
				result = take_line(r, r->buffer.data, r->buffer.size, cb, arg, e);
			if (newline)
				buf_done(&r->buffer);
		}
		if (result < 0)
			return result;
		at += part + (newline ? 1 : 0);
	}
	return 0;
}

void wire_write(struct buf *b, const json_t *message)
{
	json_encode(message, b);
	buf_append_char(b, '\n');
}

#define FRAME_HEAD 5

static size_t frame_size(const unsigned char *head)
{
	return (size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 | head[4];
}

int wire_read_frames(struct wire_reader *r, const void *data, size_t size, wire_frame_cb *cb,
	void *arg, struct err *e)
{
	r->buffer.limit = FRAME_HEAD + WIRE_FRAME_MAX + size;
	buf_append(&r->buffer, data, size);
	int result = buf_check(&r->buffer, "a frame", e);
	size_t used = 0;
	while (result == 0 && r->buffer.size - used >= FRAME_HEAD) {
		const char *head = r->buffer.data + used;
		size_t frame = frame_size((const unsigned char *)head);
		if (frame > WIRE_FRAME_MAX || head[0] < WIRE_STDOUT || head[0] > WIRE_STDIN)
			return err_set(e, ERR_PROTOCOL,
				"a reverse call sent a frame of channel %d and %zu bytes", head[0],
				frame);
		if (r->buffer.size - used - FRAME_HEAD < frame)
			break;
		used += FRAME_HEAD + frame;
		result = cb(arg, head[0], head + FRAME_HEAD, frame, e);
	}
	buf_consume(&r->buffer, used);
	return result;
}

void wire_write_frame(struct buf *b, int channel, const void *data, size_t size)
{
	const char *at = data;
	while (size) {
		size_t part = size < WIRE_FRAME_MAX ? size : WIRE_FRAME_MAX;
		unsigned char head[FRAME_HEAD] = {(unsigned char)channel,
			(unsigned char)(part >> 24), (unsigned char)(part >> 16),
			(unsigned char)(part >> 8), (unsigned char)part};
		buf_append(b, head, sizeof(head));
		buf_append(b, at, part);
		at += part;
		size -= part;
	}
}

void wire_write_input_end(struct buf *b)
{
	const unsigned char head[FRAME_HEAD] = {WIRE_STDIN};
	buf_append(b, head, sizeof(head));
}

void wire_write_end(struct buf *b, int exit_code, const struct err *e)
{
	struct buf text = BUF_INIT;
	if (e && e->code) {
		buf_printf(&text, "{\"error\":{\"reason\":\"%s\",\"message\":", err_name(e->code));
		json_write_string(&text, e->text);
		buf_append_string(&text, "}}");
	} else {
		buf_printf(&text, "{\"exit\":%d}", exit_code);
	}
	wire_write_frame(b, WIRE_END, text.data, text.size);
	buf_done(&text);
}

int wire_parse_end(const char *data, size_t size, int *ret_exit_code, struct err *e)
{
	CLEANUP(json_done) json_t *end = NULL;
	int r = json_decode(data, size, &end, e);
	if (r < 0)
		return r;
	if (json_at(end, "error"))
		return err_set(e, err_from_name(json_text(end, "InternalError", "error", "reason")),
			"%s", json_text(end, "the call failed", "error", "message"));
	*ret_exit_code = (int)json_int(end, 0, "exit");
	return 0;
}

/*
 * What registries want to know before they give something: challenges (RFC 9110 section 11.6.1;
 * tokens as in distribution's spec/auth/token.md) and credentials out of a Docker config.json.
 * Pure.
 */
#ifndef CONTINUO_IMAGE_AUTH_H
#define CONTINUO_IMAGE_AUTH_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

struct auth_challenge {
	bool bearer; /* else Basic */
	char realm[512], service[256], scope[512];
};

/* -ERR_PROTOCOL when it is neither Bearer with a realm nor Basic. */
int auth_parse_challenge(const char *header, struct auth_challenge *ret_challenge,
	struct err *e) MUST_CHECK;

struct auth_credentials {
	char user[256], password[4096];
};

/* Looks up host and repository in a config.json ({"auths": {...}}, or the older form without
 * "auths"). Keys may have a scheme, and a path that the repository must begin with; the longest
 * one wins. False when there is none. identitytoken and credential helpers are not supported. */
bool auth_find(const json_t *docker_config, const char *host, const char *repository,
	struct auth_credentials *ret_credentials);

/* "Basic dXNlcjpwYXNz" */
void auth_basic(const struct auth_credentials *credentials, struct buf *ret_header);

#endif

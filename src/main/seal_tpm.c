#include "main/seal_tpm.h"

#include <string.h>
#include <time.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_tctildr.h>

#include "base/attr.h"

#define MAGIC "CSEAL\1"
#define MAGIC_SIZE 6
/* A TPM that tests itself, or has to see to another command first, says so and wants the command
 * again (specification, part 1, "Multi-tasking"; part 3, TPM_RC_RETRY, _YIELDED, _TESTING). ESYS
 * asks five times without a pause. Then we pause, twice as long each time: 10 ms to 1.28 s, 2.5 s
 * in all. */
#define BUSY_FIRST_MS 10
#define BUSY_PAUSES 8

struct tpm {
	TSS2_TCTI_CONTEXT *tcti;
	ESYS_CONTEXT *esys;
	ESYS_TR primary, session, object;
	TPM2B_NAME name; /* of primary */
};

/* What goes in, and what comes out. */
struct task {
	const char *tcti;
	const void *data;
	size_t size;
	struct buf *result;
	int (*run)(struct tpm *t, const struct task *k, struct err *e);
};

/* ---- errors ---- */

/* The TPM's own code, also when the kernel's resource manager passes it on; 0: not from there. */
static TSS2_RC code_of_tpm(TSS2_RC rc)
{
	TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;
	return layer == TSS2_TPM_RC_LAYER || layer == TSS2_RESMGR_TPM_RC_LAYER
		       ? rc & ~TSS2_RC_LAYER_MASK
		       : 0;
}

/* Of format 1 without the number of the handle, parameter or session that it is about. */
static TSS2_RC kind_of(TSS2_RC code)
{
	return code & TPM2_RC_FMT1 ? code & (TPM2_RC_FMT1 | 0x3f) : 0;
}

static enum err_code code_of(TSS2_RC rc)
{
	TSS2_RC code = code_of_tpm(rc), kind = kind_of(code);
	if (code == TPM2_RC_RETRY || code == TPM2_RC_YIELDED || code == TPM2_RC_TESTING)
		return ERR_BUSY;
	if (kind == TPM2_RC_BAD_AUTH || kind == TPM2_RC_AUTH_FAIL)
		return ERR_FORBIDDEN;
	return (rc & TSS2_RC_LAYER_MASK) == TSS2_TCTI_RC_LAYER ? ERR_UNAVAILABLE : ERR_IO;
}

static int fail(struct err *e, TSS2_RC rc, const char *what)
{
	enum err_code code = code_of(rc);
	const char *hint = code == ERR_FORBIDDEN ? " (its owner's password must be empty)" : "";
	return err_set(e, code, "the TPM %s: %s (0x%x)%s", what, Tss2_RC_Decode(rc), (unsigned)rc,
		hint);
}

static int not_ours(struct err *e, const char *why)
{
	return err_set(e, ERR_CORRUPT,
		"this TPM did not seal this, or was cleared since, or it is damaged: %s", why);
}

/* ---- the TPM ---- */

static int tpm_open(struct tpm *t, const char *tcti, struct err *e)
{
	*t = (struct tpm){.primary = ESYS_TR_NONE, .session = ESYS_TR_NONE, .object = ESYS_TR_NONE};
	TSS2_RC rc = Tss2_TctiLdr_Initialize(tcti, &t->tcti);
	if (rc == TSS2_RC_SUCCESS)
		rc = Esys_Initialize(&t->esys, t->tcti, NULL);
	if (rc == TSS2_RC_SUCCESS)
		return 0;
	return err_set(e, ERR_UNAVAILABLE, "no TPM answers at %s: %s", tcti, Tss2_RC_Decode(rc));
}

static void tpm_done(struct tpm *t)
{
	ESYS_TR all[] = {t->object, t->session, t->primary};
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i] != ESYS_TR_NONE)
			(void)Esys_FlushContext(t->esys, all[i]);
	if (t->esys)
		Esys_Finalize(&t->esys);
	if (t->tcti)
		Tss2_TctiLdr_Finalize(&t->tcti);
}

/* The template of the TCG for storage root keys over P-256 ("TPM v2.0 Provisioning Guidance"). */
static int make_primary(struct tpm *t, struct err *e)
{
	static const TPM2B_PUBLIC template = {
		.publicArea = {.type = TPM2_ALG_ECC,
			.nameAlg = TPM2_ALG_SHA256,
			.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
					    TPMA_OBJECT_SENSITIVEDATAORIGIN |
					    TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA |
					    TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT,
			.parameters.eccDetail = {.symmetric = {.algorithm = TPM2_ALG_AES,
							 .keyBits.aes = 128,
							 .mode.aes = TPM2_ALG_CFB},
				.scheme.scheme = TPM2_ALG_NULL,
				.curveID = TPM2_ECC_NIST_P256,
				.kdf.scheme = TPM2_ALG_NULL},
			.unique.ecc = {.x.size = 32, .y.size = 32}}};
	static const TPM2B_SENSITIVE_CREATE nothing;
	static const TPM2B_DATA outside;
	static const TPML_PCR_SELECTION no_pcr;
	TSS2_RC rc = Esys_CreatePrimary(t->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
		ESYS_TR_NONE, &nothing, &template, &outside, &no_pcr, &t->primary, NULL, NULL, NULL,
		NULL);
	if (rc != TSS2_RC_SUCCESS)
		return fail(e, rc, "makes no storage key");
	TPM2B_NAME *name = NULL;
	rc = Esys_TR_GetName(t->esys, t->primary, &name);
	if (rc != TSS2_RC_SUCCESS)
		return fail(e, rc, "does not name its storage key");
	t->name = *name;
	Esys_Free(name);
	return 0;
}

/* What goes to the TPM and comes back is encrypted with a key that only it and we know: a salt is
 * encrypted to the storage key. */
static int start_session(struct tpm *t, struct err *e)
{
	static const TPMT_SYM_DEF cipher = {
		.algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
	TSS2_RC rc =
		Esys_StartAuthSession(t->esys, t->primary, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
			ESYS_TR_NONE, NULL, TPM2_SE_HMAC, &cipher, TPM2_ALG_SHA256, &t->session);
	return rc == TSS2_RC_SUCCESS ? 0 : fail(e, rc, "starts no session");
}

/* decrypt: the command's first parameter is encrypted; encrypt: the answer's. */
static int set_session(struct tpm *t, TPMA_SESSION directions, struct err *e)
{
	TSS2_RC rc = Esys_TRSess_SetAttributes(t->esys, t->session,
		directions | TPMA_SESSION_CONTINUESESSION, 0xff);
	return rc == TSS2_RC_SUCCESS ? 0 : fail(e, rc, "refuses an encrypted session");
}

/* ---- sealing ---- */

static int write_blob(const struct tpm *t, const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private,
	struct buf *ret_blob, struct err *e)
{
	unsigned char out[SEAL_TPM_BLOB_MAX];
	size_t at = 0;
	TSS2_RC rc = Tss2_MU_TPM2B_NAME_Marshal(&t->name, out, sizeof(out), &at);
	if (rc == TSS2_RC_SUCCESS)
		rc = Tss2_MU_TPM2B_PUBLIC_Marshal(public, out, sizeof(out), &at);
	if (rc == TSS2_RC_SUCCESS)
		rc = Tss2_MU_TPM2B_PRIVATE_Marshal(private, out, sizeof(out), &at);
	if (rc != TSS2_RC_SUCCESS)
		return fail(e, rc, "made something that cannot be written down");
	buf_append(ret_blob, MAGIC, MAGIC_SIZE);
	buf_append(ret_blob, out, at);
	return buf_check(ret_blob, "the blob", e);
}

static int seal(struct tpm *t, const struct task *k, struct err *e)
{
	static const TPM2B_PUBLIC template = {
		.publicArea = {.type = TPM2_ALG_KEYEDHASH,
			.nameAlg = TPM2_ALG_SHA256,
			.objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
					    TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA,
			.parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL}};
	static const TPM2B_DATA outside;
	static const TPML_PCR_SELECTION no_pcr;
	int r = set_session(t, TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT, e);
	if (r < 0)
		return r;
	TPM2B_SENSITIVE_CREATE sensitive = {.sensitive.data.size = (UINT16)k->size};
	memcpy(sensitive.sensitive.data.buffer, k->data, k->size);
	TPM2B_PRIVATE *private = NULL;
	TPM2B_PUBLIC *public = NULL;
	TSS2_RC rc = Esys_Create(t->esys, t->primary, t->session, ESYS_TR_NONE, ESYS_TR_NONE,
		&sensitive, &template, &outside, &no_pcr, &private, &public, NULL, NULL, NULL);
	explicit_bzero(&sensitive, sizeof(sensitive));
	if (rc != TSS2_RC_SUCCESS)
		return fail(e, rc, "does not seal");
	r = write_blob(t, public, private, k->result, e);
	Esys_Free(private);
	Esys_Free(public);
	return r;
}

/* ---- and back ---- */

static int read_blob(const struct task *k, TPM2B_NAME *ret_name, TPM2B_PUBLIC *ret_public,
	TPM2B_PRIVATE *ret_private, struct err *e)
{
	const unsigned char *bytes = k->data;
	size_t at = MAGIC_SIZE;
	if (k->size < MAGIC_SIZE || memcmp(bytes, MAGIC, MAGIC_SIZE) != 0)
		return not_ours(e, "it does not begin as a blob of format 1");
	TSS2_RC rc = Tss2_MU_TPM2B_NAME_Unmarshal(bytes, k->size, &at, ret_name);
	if (rc == TSS2_RC_SUCCESS)
		rc = Tss2_MU_TPM2B_PUBLIC_Unmarshal(bytes, k->size, &at, ret_public);
	if (rc == TSS2_RC_SUCCESS)
		rc = Tss2_MU_TPM2B_PRIVATE_Unmarshal(bytes, k->size, &at, ret_private);
	if (rc != TSS2_RC_SUCCESS || at != k->size)
		return not_ours(e, "it is cut short, or has something behind it");
	return 0;
}

static int load(struct tpm *t, const struct task *k, struct err *e)
{
	TPM2B_NAME name = {0};
	TPM2B_PUBLIC public = {0};
	TPM2B_PRIVATE private = {0};
	int r = read_blob(k, &name, &public, &private, e);
	if (r < 0)
		return r;
	if (name.size != t->name.size || memcmp(name.name, t->name.name, name.size) != 0)
		return not_ours(e, "it lies under another storage key");
	r = set_session(t, 0, e);
	if (r < 0)
		return r;
	TSS2_RC rc = Esys_Load(t->esys, t->primary, t->session, ESYS_TR_NONE, ESYS_TR_NONE,
		&private, &public, &t->object);
	if (rc == TSS2_RC_SUCCESS)
		return 0;
	/* What is wrong with a parameter is wrong with the blob. */
	if (kind_of(code_of_tpm(rc)) && (code_of_tpm(rc) & TPM2_RC_P))
		return not_ours(e, Tss2_RC_Decode(rc));
	return fail(e, rc, "does not load what it sealed");
}

static int unseal(struct tpm *t, const struct task *k, struct err *e)
{
	int r = load(t, k, e);
	if (r == 0)
		r = set_session(t, TPMA_SESSION_ENCRYPT, e);
	if (r < 0)
		return r;
	TPM2B_SENSITIVE_DATA *data = NULL;
	TSS2_RC rc = Esys_Unseal(t->esys, t->object, t->session, ESYS_TR_NONE, ESYS_TR_NONE, &data);
	if (rc != TSS2_RC_SUCCESS)
		return fail(e, rc, "does not unseal");
	buf_append(k->result, data->buffer, data->size);
	explicit_bzero(data, sizeof(*data));
	Esys_Free(data);
	return buf_check(k->result, "what was sealed", e);
}

/* ---- both ---- */

static int run_once(const struct task *k, struct err *e)
{
	struct tpm t;
	int r = tpm_open(&t, k->tcti, e);
	if (r == 0)
		r = make_primary(&t, e);
	if (r == 0)
		r = start_session(&t, e);
	if (r == 0)
		r = k->run(&t, k, e);
	tpm_done(&t);
	return r;
}

static int run(const struct task *k, struct err *e)
{
	int r = run_once(k, e);
	long pause_ms = BUSY_FIRST_MS;
	for (int i = 0; r == -ERR_BUSY && i < BUSY_PAUSES; i++, pause_ms *= 2) {
		struct timespec pause = {pause_ms / 1000, pause_ms % 1000 * 1000000};
		nanosleep(&pause, NULL);
		buf_clear(k->result);
		r = run_once(k, e);
	}
	return r;
}

int seal_tpm_seal(const char *tcti, const void *data, size_t size, struct buf *ret_blob,
	struct err *e)
{
	if (size == 0 || size > SEAL_TPM_DATA_MAX)
		return err_set(e, ERR_USAGE, "want 1 to %d bytes to seal, not %zu",
			SEAL_TPM_DATA_MAX, size);
	struct task k = {tcti, data, size, ret_blob, seal};
	return run(&k, e);
}

int seal_tpm_unseal(const char *tcti, const void *blob, size_t size, struct buf *ret_data,
	struct err *e)
{
	struct task k = {tcti, blob, size, ret_data, unseal};
	return run(&k, e);
}

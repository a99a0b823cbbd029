/*
 * A few bytes that only one TPM 2.0 gives back. For continuo-seal alone: nothing else links the TPM
 * software stack. Everything blocks, for as long as the TPM computes (a second on slow ones).
 *
 * The blob: "CSEAL" and the format's number 1; then, as the TPM library specification (part 2)
 * marshals them, the name of the storage key that it lies under (TPM2B_NAME), and the public and
 * private part of a sealed object (TPM2B_PUBLIC, TPM2B_PRIVATE).
 *
 * The storage key is made anew each time from the owner's seed and a fixed template, so that
 * nothing of ours stays in the TPM. What passes the bus is encrypted to it: its name in the blob
 * tells whether it is the same key as when the blob was made, before anything is said to it.
 * Neither key counts for the TPM's protection against guessing, as neither has a password.
 */
#ifndef CONTINUO_MAIN_SEAL_TPM_H
#define CONTINUO_MAIN_SEAL_TPM_H

#include "base/buf.h"
#include "base/err.h"

#define SEAL_TPM_TCTI "device:/dev/tpmrm0" /* the kernel's resource manager */
#define SEAL_TPM_DATA_MAX 128              /* as much as every TPM takes (MAX_SYM_DATA) */
#define SEAL_TPM_BLOB_MAX 4096

/* tcti: "NAME:CONFIGURATION" as Tss2_TctiLdr_Initialize(3) takes it.
 * -ERR_UNAVAILABLE: no TPM, or it does not answer. -ERR_BUSY: it answered for seconds that it
 * cannot yet. -ERR_FORBIDDEN: it has an owner's password. -ERR_CORRUPT: the blob is another TPM's,
 * from before this one was cleared, or damaged. -ERR_IO: any other refusal. */
int seal_tpm_seal(const char *tcti, const void *data, size_t size, struct buf *ret_blob,
	struct err *e) MUST_CHECK;
int seal_tpm_unseal(const char *tcti, const void *blob, size_t size, struct buf *ret_data,
	struct err *e) MUST_CHECK;

#endif

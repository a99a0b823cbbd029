/* What only real containers can show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those before it */
#include <cmocka.h>

#include "driver/contract.h"

static void nothing(void **state)
{
	(void)state;
}

extern const struct CMUnitTest contract_oci[];
extern const size_t contract_oci_count;
const struct CMUnitTest contract_oci[] = {cmocka_unit_test(nothing)};
const size_t contract_oci_count = ARRAY_SIZE(contract_oci);

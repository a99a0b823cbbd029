/* The kinds that carry placement: what is wrong with them, and how they are shown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "model/testing.h"

static const char good_site[] =
	"{\"metadata\":{\"name\":\"berlin\"},\"spec\":{\"country\":\"DE\",\"electricity\":{"
	"\"pricePerKWh\":0.28,\"carbonGramsPerKWh\":350,\"carbonForecast\":{\"start\":"
	"\"2026-12-01T06:00:00Z\",\"gramsPerKWh\":[340,310.5]}},\"traffic\":{"
	"\"pricePerGigabyteOut\":0.02},\"paths\":[{\"to\":\"paris\",\"latency\":\"9ms\","
	"\"bandwidth\":\"10G\"}]}}";

#define SITE(members) "{\"spec\":{" members "}}"
#define PATH(members) "{\"spec\":{\"paths\":{\"0\":{" members "}}}}"

static void sites(void **state UNUSED)
{
	static const struct row rows[] = {{"{}", NULL}, {"{\"spec\":null}", NULL},
		{"{\"metadata\":{\"name\":\"Berlin\"}}", "metadata.name: Invalid value"},
		{"{\"metadata\":{\"name\":\"a123456789b123456789c123456789d123456789e123456789f123"
		 "456789g123\"}}",
			"metadata.name: Invalid value"},
		{SITE("\"country\":\"Germany\""),
			"spec.country: Invalid value: \"Germany\": must be a country's code of two "
			"capital letters"},
		{SITE("\"country\":\"de\""), "spec.country: Invalid value: \"de\""},
		{SITE("\"electricity\":{\"pricePerKWh\":-0.01}"),
			"spec.electricity.pricePerKWh: Invalid value: -0.01: must be between 0 and "
			"1000000, inclusive"},
		{SITE("\"electricity\":{\"carbonGramsPerKWh\":1e300}"),
			"spec.electricity.carbonGramsPerKWh: Invalid value: 1e+300: must be "
			"between 0 and 100000, inclusive"},
		{SITE("\"electricity\":{\"carbonForecast\":{\"gramsPerKWh\":[1,-2]}}"),
			"spec.electricity.carbonForecast.gramsPerKWh[1]: Invalid value: -2"},
		{SITE("\"electricity\":{\"carbonForecast\":{\"gramsPerKWh\":[]}}"),
			"spec.electricity.carbonForecast.gramsPerKWh: Required value"},
		{SITE("\"electricity\":{\"carbonForecast\":{\"start\":null}}"),
			"spec.electricity.carbonForecast.start: Required value"},
		{SITE("\"traffic\":{\"pricePerGigabyteOut\":-1}"),
			"spec.traffic.pricePerGigabyteOut: Invalid value: -1"},
		{PATH("\"to\":\"berlin\""),
			"spec.paths[0].to: Invalid value: \"berlin\": a path leads to another "
			"site, not to its own"},
		{PATH("\"to\":null"), "spec.paths[0].to: Required value"},
		{PATH("\"to\":\"Paris\""), "spec.paths[0].to: Invalid value: \"Paris\""},
		{PATH("\"latency\":\"9\""),
			"spec.paths[0].latency: Invalid value: \"9\": must be a duration"},
		{PATH("\"latency\":\"-9ms\""), "spec.paths[0].latency: Invalid value: \"-9ms\""},
		{PATH("\"latency\":\"NaNms\""), "spec.paths[0].latency: Invalid value"},
		{PATH("\"latency\":\"1e3s\""), "spec.paths[0].latency: Invalid value"},
		{PATH("\"latency\":\"61m\""), "spec.paths[0].latency: Invalid value: \"61m\": must "
					      "be at most one hour"},
		{PATH("\"latency\":\"1h\""), NULL}, {PATH("\"latency\":\"1m2.5s3us\""), NULL},
		{PATH("\"bandwidth\":\"-1\""),
			"spec.paths[0].bandwidth: Invalid value: \"-1\": must be greater than or "
			"equal to 0"},
		{SITE("\"paths\":[{\"to\":\"a\"},{\"to\":\"b\"},{\"to\":\"a\"}]"),
			"spec.paths[2].to: Duplicate value: \"a\""}};
	CREATE(kind_site, good_site, rows);
}

static void too_many_paths(void **state UNUSED)
{
	CLEANUP(json_done) json_t *site = testing_parse(good_site);
	CLEANUP(findings_done) struct findings f = {0};
	json_t *paths = json_at(site, "spec", "paths");
	char name[20];
	for (int i = 0; i < 256; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		json_array_append_new(paths, json_pack("{s:s}", "to", name));
	}
	model_validate(&kind_site, site, NULL, &f);
	assert_int_equal(f.errors.count, 1);
	assert_string_equal(f.errors.items[0].text, "Too many: 257: must have at most 256 items");
}

/* A number in quotes, or no number at all, is said by the field's name. */
static void what_is_no_number(void **state UNUSED)
{
	static const char *const values[] = {"\"NaN\"", "\"0.28\"", "{}", "true"};
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		CLEANUP(findings_done) struct findings f = {0};
		CLEANUP(mem_free_ptr)
		char *text = mem_format("{\"metadata\":{\"name\":\"x\"},\"spec\":{\"electricity\":"
					"{\"pricePerKWh\":%s}}}",
			values[i]);
		CLEANUP(json_done) json_t *site = testing_parse(text);
		struct err e = ERR_INIT;
		assert_int_equal(model_prune(&kind_site, site, false, &f, &e), -ERR_DECODE);
		assert_non_null(strstr(e.text, "spec.electricity.pricePerKWh: expected a number"));
	}
}

static void durations(void **state UNUSED)
{
	static const struct {
		const char *text;
		double ms;
	} good[] = {{"0", 0}, {"0s", 0}, {"20ms", 20}, {"1.5s", 1500}, {".5s", 500},
		{"1h30m", 5400000}, {"250us", 0.25}, {"250\u00b5s", 0.25}, {"1s1ms", 1001},
		{"500000ns", 0.5}};
	static const char *const bad[] = {"", "1", "s", "1 s", "-1s", "+1s", "1e2s", "1ss", "1.s.",
		"inf", "1d", "0x1s", "9999999999999999999999s"};
	double ms;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct err e = ERR_INIT;
		if (duration_ms(good[i].text, &ms, &e) < 0)
			fail_msg("%s", e.text);
		assert_true(ms > good[i].ms - 1e-9 && ms < good[i].ms + 1e-9);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (duration_ms(bad[i], &ms, NULL) != -ERR_DECODE)
			fail_msg("\"%s\" is taken for a duration", bad[i]);
}

static void assert_cells(const struct kind *k, const char *text, const char *wanted)
{
	CLEANUP(json_done) json_t *json = testing_parse(text);
	CLEANUP(object_done) struct object *o = NULL;
	assert_int_equal(object_from_json(k, json, &o, NULL), 0);
	CLEANUP(json_done) json_t *cells = table_cells(o, 0);
	CLEANUP(mem_free_ptr) char *got = json_encode_string(cells);
	assert_string_equal(got, wanted);
}

static void site_cells(void **state UNUSED)
{
	assert_cells(&kind_site, good_site,
		"[\"berlin\",\"DE\",0.28,350,1,\"<unknown>\",0.02,\"paris\"]");
	assert_cells(&kind_site, "{\"metadata\":{\"name\":\"x\"}}",
		"[\"x\",\"\",\"\",\"\",0,\"<unknown>\",\"\",\"<none>\"]");
}

/* ---- applications ---- */

#define TEMPLATE "\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i:1\"}]}}"

static const char good_application[] =
	"{\"metadata\":{\"name\":\"factory\",\"namespace\":\"d\"},\"spec\":{\"components\":["
	"{\"name\":\"db\"," TEMPLATE
	"},{\"name\":\"web\",\"replicas\":2,\"requires\":[\"db\"]," TEMPLATE
	"}],\"links\":[{\"from\":\"web\",\"to\":\"db\",\"bandwidth\":\"50M\",\"latency\":"
	"\"20ms\",\"required\":true}],\"data\":[{\"name\":\"plans\",\"site\":\"berlin\",\"size\":"
	"\"2Gi\",\"readers\":[\"db\"],\"privacy\":{\"countries\":[\"DE\",\"FR\"]}}],"
	"\"consumers\":[{\"site\":\"paris\",\"component\":\"web\",\"bandwidth\":\"5M\","
	"\"latency\":\"50ms\"}],\"objectives\":{\"latency\":1,\"balance\":-0.5}}}";

#define SPEC(members) "{\"spec\":{" members "}}"
#define FIRST(list, members) "{\"spec\":{\"" list "\":{\"0\":{" members "}}}}"
#define COMPONENT(name, requires) "{\"name\":\"" name "\",\"requires\":[" requires "]," TEMPLATE "}"

static void components(void **state UNUSED)
{
	static const struct row rows[] = {{"{}", NULL}, {"{\"spec\":null}", "spec: Required value"},
		{"{\"metadata\":{\"name\":\"a.b\"}}", "metadata.name: Invalid value: \"a.b\""},
		{SPEC("\"components\":[]"), "spec.components: Required value"},
		{SPEC("\"components\":null"), "spec.components: Required value"},
		{FIRST("components", "\"name\":null"), "spec.components[0].name: Required value"},
		{FIRST("components", "\"name\":\"D_B\""),
			"spec.components[0].name: Invalid value: \"D_B\""},
		{FIRST("components", "\"name\":\"web\""),
			"spec.components[1].name: Duplicate value: \"web\""},
		{FIRST("components", "\"replicas\":-1"),
			"spec.components[0].replicas: Invalid value: -1"},
		{FIRST("components", "\"template\":null"),
			"spec.components[0].template: Required value"},
		{FIRST("components", "\"template\":{\"spec\":null}"),
			"spec.components[0].template.spec.containers: Required value"},
		{FIRST("components", "\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\"}]}}"),
			"spec.components[0].template.spec.containers[0].image: Required value"},
		{FIRST("components", "\"template\":{\"spec\":{\"restartPolicy\":\"Never\"}}"),
			"spec.components[0].template.spec.restartPolicy: Unsupported value: "
			"\"Never\""},
		{FIRST("components", "\"requires\":[\"cache\"]"),
			"spec.components[0].requires[0]: Not found: \"cache\""},
		{FIRST("components", "\"requires\":[\"web\"]"),
			"spec.components[1].requires: Invalid value: \"db -> web -> db\": "
			"components must not require each other in a circle"},
		{FIRST("components", "\"requires\":[\"db\"]"),
			"spec.components[0].requires: Invalid value: \"db -> db\""},
		{SPEC("\"components\":[" COMPONENT("db", "") "," COMPONENT("web",
			 "\"db\",\"db\"") "]"),
			"spec.components[1].requires[1]: Duplicate value: \"db\""},
		{SPEC("\"components\":[" COMPONENT("db", "\"a\"") "," COMPONENT("a",
			 "\"web\"") "," COMPONENT("web", "\"b\"") "," COMPONENT("b", "\"a\"") "]"),
			"spec.components[3].requires: Invalid value: \"a -> web -> b -> a\""},
		{SPEC("\"components\":[" COMPONENT("db", "\"a\",\"b\"") "," COMPONENT("a",
			 "\"web\"") "," COMPONENT("b", "\"web\"") "," COMPONENT("web", "") "]"),
			NULL}};
	CREATE(kind_application, good_application, rows);
}

#define DATA(name, countries)                                                                      \
	"{\"name\":\"" name "\",\"site\":\"s\",\"size\":\"1\",\"readers\":[\"db\"],\"privacy\":{"  \
	"\"countries\":[" countries "]}}"

static void the_graph(void **state UNUSED)
{
	static const struct row rows[] = {
		{FIRST("links", "\"from\":\"cache\""), "spec.links[0].from: Not found: \"cache\""},
		{FIRST("links", "\"to\":\"cache\""), "spec.links[0].to: Not found: \"cache\""},
		{FIRST("links", "\"to\":null"), "spec.links[0].to: Required value"},
		{FIRST("links", "\"to\":\"web\""), "spec.links[0].to: Invalid value: \"web\": a "
						   "link leads to another component"},
		{FIRST("links", "\"latency\":\"fast\""),
			"spec.links[0].latency: Invalid value: \"fast\": must be a duration"},
		{FIRST("links", "\"bandwidth\":\"-1M\""),
			"spec.links[0].bandwidth: Invalid value: \"-1M\""},
		{SPEC("\"links\":[{\"from\":\"web\",\"to\":\"db\"},{\"from\":\"db\",\"to\":\"web\"}"
		      ","
		      "{\"from\":\"web\",\"to\":\"db\"}]"),
			"spec.links[2]: Duplicate value: \"web, db\""},
		{FIRST("data", "\"readers\":[\"cache\"]"),
			"spec.data[0].readers[0]: Not found: \"cache\""},
		{FIRST("data", "\"readers\":[]"), "spec.data[0].readers: Required value"},
		{FIRST("data", "\"site\":null"), "spec.data[0].site: Required value"},
		{FIRST("data", "\"size\":\"-2Gi\""), "spec.data[0].size: Invalid value: \"-2Gi\""},
		{FIRST("data", "\"privacy\":{\"countries\":[]}"),
			"spec.data[0].privacy.countries: Required value"},
		{FIRST("data", "\"privacy\":{\"countries\":[\"Germany\"]}"),
			"spec.data[0].privacy.countries[0]: Invalid value: \"Germany\""},
		{FIRST("data", "\"privacy\":{\"countries\":[\"DE\",\"DE\"]}"),
			"spec.data[0].privacy.countries[1]: Duplicate value: \"DE\""},
		{FIRST("data", "\"readers\":[\"web\"],\"privacy\":null"), NULL},
		{SPEC("\"data\":[" DATA("a", "\"DE\",\"FR\"") "," DATA("b", "\"FR\"") "]"), NULL},
		{SPEC("\"data\":[" DATA("a", "\"DE\"") "," DATA("b", "\"FR\"") "]"),
			"spec.components[0].name: Invalid value: \"db\": reads data that may be "
			"processed in no country in common"},
		{FIRST("components", "\"template\":{\"metadata\":{\"annotations\":{\"continuo.dev/"
				     "countries\":\"DE\"}}}"),
			"spec.components[0].template.metadata.annotations[continuo.dev/countries]: "
			"Forbidden: the privacy of the data that it reads says this"},
		{FIRST("components", "\"template\":{\"metadata\":{\"annotations\":{\"continuo.dev/"
				     "countries\":\"DE,,FR\"}}}"),
			"annotations[continuo.dev/countries]: Invalid value: \"DE,,FR\": must be "
			"countries of two capital letters"},
		{FIRST("consumers", "\"component\":\"cache\""),
			"spec.consumers[0].component: Not found: \"cache\""},
		{FIRST("consumers", "\"latency\":\"2h\""),
			"spec.consumers[0].latency: Invalid value: \"2h\""},
		{SPEC("\"objectives\":{\"speed\":1}"),
			"spec.objectives: Unsupported value: \"speed\": supported values: "
			"\"balance\", \"preference\""},
		{SPEC("\"objectives\":{\"latency\":1000.5}"),
			"spec.objectives[latency]: Invalid value: 1000.5: must be between -1000 "
			"and "
			"1000, inclusive"}};
	CREATE(kind_application, good_application, rows);
}

/* A ring of as many components as there may be is still told of, in bounded time. */
static void a_long_circle(void **state UNUSED)
{
	CLEANUP(json_done) json_t *application = testing_parse(good_application);
	CLEANUP(findings_done) struct findings f = {0};
	json_t *list = json_array();
	for (int i = 0; i < 256; i++) {
		CLEANUP(mem_free_ptr)
		char *text = mem_format(COMPONENT("c%d", "\"c%d\""), i, (i + 1) % 256);
		json_array_append_new(list, testing_parse(text));
	}
	json_object_set_new(application, "spec", json_pack("{s:o}", "components", list));
	model_validate(&kind_application, application, NULL, &f);
	assert_int_equal(f.errors.count, 1);
	assert_string_equal(f.errors.items[0].path, "spec.components[255].requires");
}

static void application_cells(void **state UNUSED)
{
	assert_cells(&kind_application, good_application,
		"[\"factory\",\"0/2\",\"Pending\",\"<unknown>\",\"db,web\"]");
	assert_cells(&kind_application,
		"{\"metadata\":{\"name\":\"x\",\"namespace\":\"d\"},\"spec\":{\"components\":[{}]},"
		"\"status\":{\"readyComponents\":1,\"conditions\":[{\"type\":\"Ready\",\"status\":"
		"\"True\",\"reason\":\"ComponentsReady\"}]}}",
		"[\"x\",\"1/1\",\"Ready\",\"<unknown>\",\"<none>\"]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sites),
		cmocka_unit_test(too_many_paths),
		cmocka_unit_test(what_is_no_number),
		cmocka_unit_test(durations),
		cmocka_unit_test(site_cells),
		cmocka_unit_test(components),
		cmocka_unit_test(the_graph),
		cmocka_unit_test(a_long_circle),
		cmocka_unit_test(application_cells),
	};
	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "nodeproof/json.h"
#include "test.h"

static void writes(const char *value, const char *expected)
{
    char text[256];
    struct np_json json;
    np_json_begin(&json, text, sizeof text);
    np_json_string(&json, "k", value);
    CHECK(np_json_end(&json) == 0);
    if (strcmp(text, expected) != 0)
        fprintf(stderr, "%s\nexpected\n%s\n", text, expected);
    CHECK(strcmp(text, expected) == 0);
}

static void all_types_make_one_line(void)
{
    char text[256];
    struct np_json json;
    np_json_begin(&json, text, sizeof text);
    np_json_string(&json, "name", "memory.triad");
    np_json_number(&json, "value", 57.4e9);
    np_json_number(&json, "share", 0.5);
    np_json_integer(&json, "bytes", UINT64_MAX);
    np_json_bool(&json, "is_on", true);
    np_json_bool(&json, "is_off", false);
    np_json_null(&json, "node");
    CHECK(np_json_end(&json) == 0);
    CHECK(strcmp(text, "{\"name\": \"memory.triad\", \"value\": 5.74e+10, \"share\": 0.5, "
                       "\"bytes\": 18446744073709551615, \"is_on\": true, \"is_off\": false, \"node\": null}") == 0);
}

static void arrays_and_objects_nest(void)
{
    char text[256];
    struct np_json json;
    np_json_begin(&json, text, sizeof text);
    np_json_open_array(&json, "none");
    np_json_close_array(&json);
    np_json_open_array(&json, "points");
    for (uint64_t cpu = 0; cpu < 2; cpu++) {
        np_json_open_object(&json, NULL);
        np_json_integer(&json, "cpu", cpu);
        np_json_string(&json, "text", "{[");
        np_json_close_object(&json);
    }
    np_json_number(&json, NULL, 1.5);
    np_json_null(&json, NULL);
    np_json_close_array(&json);
    np_json_bool(&json, "is_last", true);
    CHECK(np_json_end(&json) == 0);
    CHECK(strcmp(text, "{\"none\": [], \"points\": [{\"cpu\": 0, \"text\": \"{[\"}, "
                       "{\"cpu\": 1, \"text\": \"{[\"}, 1.5, null], \"is_last\": true}") == 0);
}

static void errors_are_kept(void)
{
    char text[16];
    struct np_json json;
    np_json_begin(&json, text, 0);
    CHECK(np_json_end(&json) == -ENOSPC);
    np_json_begin(&json, text, sizeof text);
    np_json_string(&json, "key", "much too long for this");
    np_json_null(&json, "k");
    CHECK(np_json_end(&json) == -ENOSPC);
    CHECK(memchr(text, '\0', sizeof text) != NULL);
    np_json_begin(&json, text, sizeof text);
    np_json_number(&json, "k", NAN);
    CHECK(np_json_end(&json) == -EDOM);
    np_json_begin(&json, text, sizeof text);
    np_json_number(&json, "k", -INFINITY);
    CHECK(np_json_end(&json) == -EDOM);
}

int main(void)
{
    writes("", "{\"k\": \"\"}");
    writes("a \"b\" \\ c", "{\"k\": \"a \\\"b\\\" \\\\ c\"}");
    writes("\n\t\033[31m\177", "{\"k\": \"\\u000a\\u0009\\u001b[31m\\u007f\"}");
    writes("%s%n", "{\"k\": \"%s%n\"}");
    writes("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "{\"k\": \"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"}");
    writes("\x80", "{\"k\": \"\\ufffd\"}");
    writes("\xc3", "{\"k\": \"\\ufffd\"}");
    writes("\xe2\x82", "{\"k\": \"\\ufffd\\ufffd\"}");
    writes("\xc0\xaf", "{\"k\": \"\\ufffd\\ufffd\"}");
    writes("\xed\xa0\x80", "{\"k\": \"\\ufffd\\ufffd\\ufffd\"}");
    writes("\xf4\x90\x80\x80x", "{\"k\": \"\\ufffd\\ufffd\\ufffd\\ufffdx\"}");
    all_types_make_one_line();
    arrays_and_objects_nest();
    errors_are_kept();
    return EXIT_SUCCESS;
}

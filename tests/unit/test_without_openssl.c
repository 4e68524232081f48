/* The core as it is built without OpenSSL (this program is linked with tls_none.c): plain links work, and the options
 * of security answer Unsupported by name. */
#include "tls.h"
#include "trackers.h"

static void options_answer_unsupported(void **state) {
    (void)state;
    static const char *const options[] = {"secret", "secret_file", "tls_cert", "tls_key", "tls_ca", "tls_name"};
    assert_false(pr_tls_built());
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        presence_config *config = presence_config_new();
        assert_int_equal(presence_config_set(config, options[i], "correct horse battery"), PRESENCE_EUNSUPPORTED);
        assert_non_null(strstr(presence_config_message(config), options[i]));
        assert_non_null(strstr(presence_config_message(config), "without OpenSSL"));
        assert_int_equal(presence_config_set(config, options[i], ""), 0);
        presence_config_free(config);
    }
}

static bool has_two(void *tracker) { return count_metas(tracker, "room") == 2; }

static void plain_members_meet(void **state) {
    (void)state;
    char address[80];
    presence_tracker *a = open_tracker(NULL);
    assert_int_equal(presence_tracker_address(a, address, sizeof address), 0);
    const char *const options[] = {"join", address, "insecure", "1", NULL};
    presence_tracker *b = open_tracker(options);
    track(a, open_owner(a), "room", "a", "{}");
    track(b, open_owner(b), "room", "b", "{}");
    assert_true(wait_until(has_two, a));
    assert_true(wait_until(has_two, b));
    presence_tracker_close(a);
    presence_tracker_close(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_answer_unsupported),
        cmocka_unit_test(plain_members_meet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

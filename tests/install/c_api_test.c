/* What the C interface promises beside its use: statuses with messages, cancellation from callbacks and other threads,
 * nothing left behind. Usage: c_api_test MODEL */
#include <plasticity/plasticity.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUIRE(condition)                                                  \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            fprintf(stderr, "message: %s\n", plasticity_message(session));  \
            exit(1);                                                        \
        }                                                                   \
    } while (0)

static int count_and_stop(const char* text, size_t length, void* user) {
    (void)text;
    (void)length;
    return ++*(int*)user == 3;
}

static int refuse(const plasticity_progress* progress, void* user) {
    (void)progress;
    (void)user;
    return 1;
}

static void* cancel(void* session) {
    plasticity_cancel(session);
    return NULL;
}

static void test_errors(plasticity_session* session) {
    REQUIRE(plasticity_compress(session, NULL) == PLASTICITY_USAGE);
    REQUIRE(plasticity_compress(session, "{") == PLASTICITY_USAGE);
    REQUIRE(strlen(plasticity_message(session)) > 0);
    REQUIRE(strcmp(plasticity_result(session), "{}") == 0);
    REQUIRE(plasticity_infer(session, "{\"model\": \"no such file.gguf\", \"prompt\": \"a\"}") == PLASTICITY_MISSING);
    REQUIRE(strstr(plasticity_message(session), "no such file.gguf") != NULL);
    REQUIRE(plasticity_infer(session, "{\"model\": \"m.gguf\", \"prompt\": \"a\", \"colour\": 1}") == PLASTICITY_USAGE);
    REQUIRE(strstr(plasticity_message(session), "colour") != NULL);
    REQUIRE(plasticity_infer(NULL, "{}") == PLASTICITY_USAGE);
}

static void test_cancellation(plasticity_session* session, const char* model) {
    char infer[4096], score[4096];
    snprintf(infer, sizeof infer, "{\"model\": \"%s\", \"prompt\": \"a\", \"predict\": 64}", model);
    snprintf(score, sizeof score, "{\"model\": \"%s\", \"data\": \"%s\", \"output\": \"scores.json\"}", model,
             __FILE__);
    int pieces = 0;
    plasticity_on_text(session, count_and_stop, &pieces);
    REQUIRE(plasticity_infer(session, infer) == PLASTICITY_CANCELLED);
    REQUIRE(pieces == 3);

    plasticity_on_progress(session, refuse, NULL);
    REQUIRE(plasticity_score(session, score) == PLASTICITY_CANCELLED);
    plasticity_on_progress(session, NULL, NULL);

    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, cancel, session) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    REQUIRE(plasticity_score(session, score) == PLASTICITY_CANCELLED);
}

int main(int argc, char** argv) {
    plasticity_session* session = argc == 2 ? plasticity_session_new() : NULL;
    if (session == NULL) return 2;
    REQUIRE(strcmp(plasticity_version(), PLASTICITY_VERSION) == 0);
    test_errors(session);
    test_cancellation(session, argv[1]);
    plasticity_session_free(session);
    plasticity_session_free(NULL);
    return 0;
}

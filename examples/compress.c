/* Compresses a model for the task that a text shows, and lets the result write. Usage: compress MODEL TEXT */
#include <plasticity/plasticity.h>
#include <stdio.h>
#include <stdlib.h>

static int show(const plasticity_progress* progress, void* user) {
    if (progress->total > 0 && progress->done == progress->total && progress->note[0] == '\0')
        fprintf(user, "%s: %llu %s\n", progress->task, (unsigned long long)progress->done, progress->unit);
    return 0; /* anything else would cancel */
}

static int print(const char* text, size_t length, void* user) {
    return fwrite(text, 1, length, user) == length ? 0 : 1;
}

static void require(plasticity_status status, const plasticity_session* session) {
    if (status == PLASTICITY_OK) return;
    fprintf(stderr, "%s\n", plasticity_message(session));
    exit(status);
}

int main(int argc, char** argv) {
    plasticity_session* s = argc == 3 ? plasticity_session_new() : NULL;
    if (s == NULL) return 2;
    plasticity_on_progress(s, show, stderr);
    plasticity_on_text(s, print, stdout);
    char json[4096]; /* options; paths must not hold quotes or backslashes here */
    snprintf(json, sizeof json, "{\"model\": \"%s\", \"data\": \"%s\", \"output\": \"scores.json\", \"tokens\": 256}",
             argv[1], argv[2]);
    require(plasticity_score(s, json), s);
    snprintf(json, sizeof json,
             "{\"model\": \"%s\", \"scores\": \"scores.json\", \"target-bpw\": 5, \"output\": \"recipe.json\"}",
             argv[1]);
    require(plasticity_plan(s, json), s);
    snprintf(json, sizeof json, "{\"model\": \"%s\", \"recipe\": \"recipe.json\", \"output\": \"small.gguf\"}",
             argv[1]);
    require(plasticity_compress(s, json), s);
    require(plasticity_infer(s, "{\"model\": \"small.gguf\", \"prompt\": \"def add(a, b):\", \"predict\": 16}"), s);
    plasticity_session_free(s);
}

/* The five stages for C, and for every language that calls C.
 *
 *     plasticity_session* session = plasticity_session_new();
 *     const char* options = "{\"model\": \"in.gguf\", \"recipe\": \"recipe.json\", \"output\": \"out.gguf\"}";
 *     if (plasticity_compress(session, options)) fprintf(stderr, "%s\n", plasticity_message(session));
 *     plasticity_session_free(session);
 *
 * Stages meet in files, so options and results are documents too: a JSON object whose keys are the long options of the
 * command line without their dashes, with "model" and "output"; unknown keys are refused. docs/library.md lists them.
 * No struct of options can therefore change its layout, and a program runs with every later library of its major
 * version.
 *
 * A session serves one call at a time; several sessions may work at once. Nothing throws, exits, or takes over signals.
 */
#ifndef PLASTICITY_PLASTICITY_H
#define PLASTICITY_PLASTICITY_H

#include <stddef.h>
#include <stdint.h>

#include "plasticity/export.h"
#include "plasticity/version.h"

#ifdef __cplusplus
extern "C" {
#endif

/* NOLINTBEGIN(readability-identifier-naming): names as C has them. */

/* What became of a call, sorted by what the caller can do about it. The values are the program's exit codes. */
typedef enum plasticity_status {
    PLASTICITY_OK = 0,
    PLASTICITY_INTERNAL = 1,            /* a defect of this library */
    PLASTICITY_USAGE = 2,               /* the request itself */
    PLASTICITY_MISSING = 3,             /* an input is not there */
    PLASTICITY_MALFORMED = 4,           /* an input is not what it claims to be */
    PLASTICITY_INFEASIBLE = 5,          /* nothing fits the budget */
    PLASTICITY_IO = 6,                  /* reading or writing failed, or disk or memory is full */
    PLASTICITY_VERIFICATION_FAILED = 7, /* the result is the report that says why */
    PLASTICITY_CANCELLED = 130          /* by a callback, plasticity_cancel, or a signal that the program routes here */
} plasticity_status;

typedef struct plasticity_session plasticity_session;

/* How far a stage is. Texts are UTF-8, never NULL, and valid during the callback. Later versions add members at the
 * end. */
typedef struct plasticity_progress {
    const char* task; /* "score", "compress", ... */
    uint64_t done;
    uint64_t total;     /* 0: unknown */
    const char* unit;   /* "tokens", "bytes", "tensors" */
    const char* detail; /* a few words on the current state, or "" */
    const char* note;   /* not "": a line worth reading, and nothing else has happened */
} plasticity_progress;

/* Called on the thread that called the stage. Anything but 0 ends the stage, which then leaves nothing half-written. */
typedef int (*plasticity_progress_callback)(const plasticity_progress* progress, void* user);
/* A piece of text that infer generated, not ended by a zero, and perhaps a part of a character. As above. */
typedef int (*plasticity_text_callback)(const char* text, size_t length, void* user);

/* The library's version, "MAJOR.MINOR.PATCH"; PLASTICITY_VERSION is that of the headers. */
PLASTICITY_API const char* plasticity_version(void);

/* NULL where there is no memory. */
PLASTICITY_API plasticity_session* plasticity_session_new(void);
/* NULL is allowed. */
PLASTICITY_API void plasticity_session_free(plasticity_session* session);

/* For the calls that follow. NULL: none. */
PLASTICITY_API void plasticity_on_progress(plasticity_session* session, plasticity_progress_callback callback,
                                           void* user);
PLASTICITY_API void plasticity_on_text(plasticity_session* session, plasticity_text_callback callback, void* user);

/* SCORE: which heads does the task use? Writes "output", gate_gradients.json. */
PLASTICITY_API plasticity_status plasticity_score(plasticity_session* session, const char* options);
/* PLAN: what to prune, and a type for every tensor. The result is the recipe; "output", where named, gets it too. */
PLASTICITY_API plasticity_status plasticity_plan(plasticity_session* session, const char* options);
/* COMPRESS: slice, quantise and write one GGUF. */
PLASTICITY_API plasticity_status plasticity_compress(plasticity_session* session, const char* options);
/* VERIFY: does the file hold what its recipe says, and how good is it? The result is the report. */
PLASTICITY_API plasticity_status plasticity_verify(plasticity_session* session, const char* options);
/* INFER: completes "prompt". */
PLASTICITY_API plasticity_status plasticity_infer(plasticity_session* session, const char* options);

/* Ends the call that is in progress, and if there is none, the next one. The only function for another thread. */
PLASTICITY_API void plasticity_cancel(plasticity_session* session);

/* Of the last call; valid until the next one. A line for people, "" after PLASTICITY_OK. */
PLASTICITY_API const char* plasticity_message(const plasticity_session* session);
/* A JSON object; "{}" where the call failed. */
PLASTICITY_API const char* plasticity_result(const plasticity_session* session);

/* NOLINTEND(readability-identifier-naming) */

#ifdef __cplusplus
}
#endif

#endif

#include <atomic>
#include <exception>
#include <new>
#include <string>
#include <string_view>

#include "api/stages.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/version.h"
#include "plasticity/plasticity.h"

struct plasticity_session {  // NOLINT(readability-identifier-naming): C has its name
    plasticity_progress_callback on_progress = nullptr;
    void* progress_user = nullptr;
    plasticity_text_callback on_text = nullptr;
    void* text_user = nullptr;
    std::atomic<bool> cancelled = false;
    std::string message;
    std::string result = "{}";
};

namespace plasticity {
namespace {

using Stage = StageOutcome (*)(std::string_view options, const StageListener& listener);

/// @returns false where the stage is to end
bool tell_c(plasticity_session& session, const ProgressEvent& event) {
    if (session.cancelled) return false;
    if (session.on_progress == nullptr) return true;
    const std::string task(event.task), unit(event.unit), detail(event.detail), note(event.note);
    const plasticity_progress progress{task.c_str(), event.done,     event.total,
                                       unit.c_str(), detail.c_str(), note.c_str()};
    return session.on_progress(&progress, session.progress_user) == 0;
}

bool tell_c(plasticity_session& session, std::string_view piece) {
    if (session.cancelled) return false;
    return session.on_text == nullptr || session.on_text(piece.data(), piece.size(), session.text_user) == 0;
}

/// @throws whatever went wrong
plasticity_status run_stage(plasticity_session& session, Stage stage, const char* options) {
    session.message.clear();
    session.result = "{}";
    const StageListener listener{[&](const ProgressEvent& event) { return tell_c(session, event); },
                                 [&](std::string_view piece) { return tell_c(session, piece); }};
    if (options == nullptr) throw Error(ErrorKind::kUsage, "options: got NULL; expected a JSON object");
    StageOutcome outcome = stage(options, listener);
    session.result = std::move(outcome.json);
    if (outcome.passed) return PLASTICITY_OK;
    session.message = "verification failed; the result says which checks";
    return PLASTICITY_VERIFICATION_FAILED;
}

/// A message that finds no memory is left out; its status is there.
plasticity_status failed(plasticity_session& session, plasticity_status status, const char* message) noexcept {
    try {
        session.message = message;
    } catch (const std::exception&) {
        session.message.clear();
    }
    return status;
}

/// No exception leaves.
plasticity_status guarded(plasticity_session* session, Stage stage, const char* options) noexcept {
    if (session == nullptr) return PLASTICITY_USAGE;
    plasticity_status status = PLASTICITY_INTERNAL;
    try {
        status = run_stage(*session, stage, options);
    } catch (const Error& error) {
        status = failed(*session, static_cast<plasticity_status>(error.kind()), error.what());
    } catch (const Interrupted&) {
        status = failed(*session, PLASTICITY_CANCELLED, "cancelled");
    } catch (const std::bad_alloc&) {
        status = failed(*session, PLASTICITY_IO, "out of memory");
    } catch (const std::exception& error) {
        status = failed(*session, PLASTICITY_INTERNAL, error.what());
    } catch (...) {  // a callback of another language's
        status = failed(*session, PLASTICITY_INTERNAL, "an exception that is none of C++");
    }
    session->cancelled = false;
    return status;
}

}  // namespace
}  // namespace plasticity

extern "C" {

const char* plasticity_version(void) {
    return plasticity::kVersion;
}

plasticity_session* plasticity_session_new(void) {
    return new (std::nothrow) plasticity_session;
}

void plasticity_session_free(plasticity_session* session) {
    delete session;
}

void plasticity_on_progress(plasticity_session* session, plasticity_progress_callback callback, void* user) {
    session->on_progress = callback;
    session->progress_user = user;
}

void plasticity_on_text(plasticity_session* session, plasticity_text_callback callback, void* user) {
    session->on_text = callback;
    session->text_user = user;
}

plasticity_status plasticity_score(plasticity_session* session, const char* options) {
    return plasticity::guarded(session, plasticity::score_stage, options);
}

plasticity_status plasticity_plan(plasticity_session* session, const char* options) {
    return plasticity::guarded(session, plasticity::plan_stage, options);
}

plasticity_status plasticity_compress(plasticity_session* session, const char* options) {
    return plasticity::guarded(session, plasticity::compress_stage, options);
}

plasticity_status plasticity_verify(plasticity_session* session, const char* options) {
    return plasticity::guarded(session, plasticity::verify_stage, options);
}

plasticity_status plasticity_infer(plasticity_session* session, const char* options) {
    return plasticity::guarded(session, plasticity::infer_stage, options);
}

void plasticity_cancel(plasticity_session* session) {
    session->cancelled = true;
}

const char* plasticity_message(const plasticity_session* session) {
    return session->message.c_str();
}

const char* plasticity_result(const plasticity_session* session) {
    return session->result.c_str();
}

}  // extern "C"

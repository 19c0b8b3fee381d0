#include "engine/libllama_log.h"

#include <llama.h>

#include "io/printable.h"

namespace plasticity {
namespace {

constexpr std::size_t kMaxReasonBytes = 500;

std::mutex& log_mutex() {
    static std::mutex mutex;
    return mutex;
}

std::string& captured() {
    static std::string text;
    return text;
}

}  // namespace

LibllamaLog::LibllamaLog() : lock_(log_mutex()) {
    captured().clear();
    llama_log_set(
        [](ggml_log_level level, const char* line, void*) {
            if (level >= GGML_LOG_LEVEL_WARN) captured() += line;
        },
        nullptr);
}

LibllamaLog::~LibllamaLog() {
    llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
}

std::string LibllamaLog::text() const {
    return printable(captured(), kMaxReasonBytes);
}

void silence_libllama() {
    static std::once_flag once;
    std::call_once(once, [] { const LibllamaLog caught; });
}

}  // namespace plasticity

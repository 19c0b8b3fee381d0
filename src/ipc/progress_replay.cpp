#include "ipc/progress_replay.h"

#include <nlohmann/json.hpp>
#include <string>

namespace plasticity {
namespace {

using nlohmann::ordered_json;

std::string text_in(const ordered_json& event, const char* key) {
    const auto found = event.find(key);
    return found != event.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::uint64_t count_in(const ordered_json& event, const char* key) {
    const auto found = event.find(key);
    return found != event.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

}  // namespace

void ProgressReplay::show(const ordered_json& event) {
    if (!event.is_object()) return;
    const std::string kind = text_in(event, "event");
    if (kind == "note") return progress_.note(text_in(event, "message"));
    if (kind == "begin") {
        done_ = 0;
        return progress_.begin(text_in(event, "task"), count_in(event, "total"), text_in(event, "unit"));
    }
    if (kind != "progress" && kind != "end") return;
    const std::uint64_t done = count_in(event, "done");
    progress_.advance(done > done_ ? done - done_ : 0, text_in(event, "detail"));
    done_ = done;
    if (kind == "end") progress_.end();
}

}  // namespace plasticity

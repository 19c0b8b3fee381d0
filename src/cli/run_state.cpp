#include "cli/run_state.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "io/atomic_file.h"

namespace plasticity {

namespace fs = std::filesystem;

RunState::RunState(fs::path folder) : folder_(std::move(folder)) {
    const fs::path file = folder_ / "run.json";
    if (!fs::exists(file)) return;
    const auto document = nlohmann::json::parse(read_text_file(file, 1 << 20), nullptr, false);
    if (!document.is_object()) return;
    for (const auto& [stage, value] : document.items())
        if (value.is_string()) fingerprints_[stage] = value.get<std::string>();
}

bool RunState::is_done(const std::string& stage, const std::string& wanted,
                       const std::vector<fs::path>& outputs) const {
    const auto found = fingerprints_.find(stage);
    return found != fingerprints_.end() && found->second == wanted &&
           std::all_of(outputs.begin(), outputs.end(), [](const fs::path& path) { return fs::exists(path); });
}

void RunState::finish(const std::string& stage, const std::string& made_from) {
    fingerprints_[stage] = made_from;
    write_text_file(folder_ / "run.json", nlohmann::json(fingerprints_).dump(2) + "\n", Overwrite::kReplace);
}

}  // namespace plasticity

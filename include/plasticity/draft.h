#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace plasticity {

/// What a user says about a draft model: a smaller one of the same vocabulary that guesses ahead. The text has the same
/// distribution with it as without.
struct DraftRequest {
    std::optional<std::filesystem::path> model;  ///< nothing: no draft
    std::int32_t most = 4;                       ///< tokens guessed at once
};

/// How a draft's guesses fared.
struct DraftCounts {
    std::int64_t guessed = 0;
    std::int64_t accepted = 0;  ///< of those, tokens that the text went on with
};

}  // namespace plasticity

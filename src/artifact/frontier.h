#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "artifact/device.h"
#include "artifact/quality.h"
#include "io/atomic_file.h"

namespace plasticity {

/// A plan that was carried out and measured.
struct FrontierPoint {
    std::string name;     ///< "optimal 4.5": the variant, and the bits per weight that were asked for
    std::string variant;  ///< what of the planner was varied: "optimal", "pruned", "tiers"
    std::string recipe;   ///< path of its recipe, in the folder of frontier.json
    std::uint64_t file_bytes = 0;
    std::uint64_t run_time_bytes = 0;  ///< weights, KV cache and compute buffers, as the recipe counts them
    double parameter_reduction = 0;    ///< share of the base's parameters that is gone, [0, 1]
    std::optional<double> predicted_kl;
    QualityPanel quality;
    double generated_tokens_per_second = 0;
};

/// A plan that was not measured, and why.
struct SkippedPoint {
    std::string name;
    std::string reason;
};

/// What sizes of one model cost in quality, and which of them to take: frontier.json.
struct Frontier {
    static constexpr int kSchemaVersion = 1;

    std::string model;
    Device device;
    std::int32_t context_length = 0;
    double max_kl = 0;  ///< divergence that is good enough, nats per token
    std::vector<FrontierPoint> points;
    std::vector<SkippedPoint> skipped;
    std::string recommended;  ///< name of a point; empty where there is none
    std::string reason;       ///< of the recommendation, with its numbers

    /// @returns nullptr where nothing is recommended
    const FrontierPoint* recommended_point() const;
};

/// Of points [n], those that no other one beats: none is as small and diverges less, or diverges as little and is
/// smaller. @returns indices, ascending in bytes
std::vector<std::size_t> pareto_indices(const std::vector<FrontierPoint>& points);

/// Chooses the smallest point whose divergence is at most max_kl, else the one that diverges least, and says why.
void recommend(Frontier& frontier);

nlohmann::ordered_json frontier_point_json(const FrontierPoint& point);
/// @throws Error (kMalformed)
FrontierPoint read_frontier_point(const nlohmann::json& json, const std::string& where);

std::string frontier_to_json(const Frontier& frontier);
/// @param where  what the text is, for messages. @throws Error (kMalformed)
Frontier frontier_from_json(std::string_view text, const std::string& where);
/// @throws Error (kMissing, kMalformed, kIo)
Frontier load_frontier(const std::filesystem::path& path);
void save_frontier(const Frontier& frontier, const std::filesystem::path& target, Overwrite overwrite);

}  // namespace plasticity

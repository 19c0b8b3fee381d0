#include "artifact/fine_tune_record.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "artifact/json_text.h"

namespace plasticity {
namespace {

constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();

std::vector<std::string> read_targets(ObjectReader& reader) {
    std::vector<std::string> targets;
    for (const auto& target : reader.value("targets")) {
        if (!target.is_string()) reader.fail("targets", "expected names of modules");
        targets.push_back(target.get<std::string>());
    }
    return targets;
}

std::vector<FineTuneRecord::HeldOutLoss> read_held_out(ObjectReader& reader) {
    std::vector<FineTuneRecord::HeldOutLoss> losses;
    for (const std::vector<double>& row : reader.number_rows("held_out_losses")) {
        if (row.size() != 2 || !(row[0] >= 0 && row[0] <= static_cast<double>(kMost)))
            reader.fail("held_out_losses", "expected pairs of a step and a loss");
        losses.push_back({.step = static_cast<std::int64_t>(row[0]), .loss = row[1]});
    }
    return losses;
}

}  // namespace

nlohmann::ordered_json fine_tune_json(const FineTuneRecord& record) {
    nlohmann::ordered_json json;
    json["rank"] = record.rank;
    json["alpha"] = record.alpha;
    json["targets"] = record.targets;
    json["epochs"] = record.epochs;
    json["batch"] = record.batch;
    json["learning_rate"] = record.learning_rate;
    json["warmup"] = record.warmup;
    json["weight_decay"] = record.weight_decay;
    json["dropout"] = record.dropout;
    json["shuffle"] = record.shuffle;
    json["holdout_every"] = record.holdout_every;
    json["seed"] = record.seed;
    json["training_losses"] = record.training_losses;
    auto& held_out = json["held_out_losses"] = nlohmann::ordered_json::array();
    for (const auto& [step, loss] : record.held_out_losses) held_out.push_back({step, loss});
    return json;
}

FineTuneRecord read_fine_tune(const nlohmann::json& json) {
    ObjectReader reader(json, "fine_tune");
    FineTuneRecord record;
    const auto count = [&](std::string_view key) { return static_cast<std::int32_t>(reader.integer(key, 0, kMost)); };
    record.rank = count("rank");
    record.alpha = reader.number("alpha");
    record.targets = read_targets(reader);
    record.epochs = count("epochs");
    record.batch = count("batch");
    record.learning_rate = reader.number("learning_rate");
    record.warmup = reader.number("warmup");
    record.weight_decay = reader.number("weight_decay");
    record.dropout = reader.number("dropout");
    record.shuffle = reader.boolean("shuffle");
    record.holdout_every = count("holdout_every");
    record.seed = static_cast<std::uint64_t>(reader.integer("seed", 0, std::numeric_limits<std::int64_t>::max()));
    record.training_losses = reader.numbers("training_losses");
    record.held_out_losses = read_held_out(reader);
    reader.finish();
    return record;
}

}  // namespace plasticity

#include "score/team.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "score/accumulate.h"

namespace plasticity {
namespace {

std::vector<std::byte> packed(const Statistics& statistics) {
    nlohmann::json document{{"chunks", statistics.chunk_count}};
    for (const auto& [name, entry] : statistics.matrices)
        document["matrices"][name] = {{"squares", entry.sum_of_squares}, {"count", entry.count}};
    for (const auto& [name, entry] : statistics.curvature)
        document["curvature"][name] = {
            {"rows", entry.rows}, {"columns", entry.columns}, {"gates", entry.gates}, {"count", entry.count}};
    const std::vector<std::uint8_t> bytes = nlohmann::json::to_cbor(document);
    const auto raw = std::as_bytes(std::span(bytes));
    return {raw.begin(), raw.end()};
}

Statistics unpacked(std::span<const std::byte> bytes) {
    const auto* begin = reinterpret_cast<const std::uint8_t*>(bytes.data());
    const auto document = nlohmann::json::from_cbor(begin, begin + bytes.size());
    Statistics statistics;
    document.at("chunks").get_to(statistics.chunk_count);
    const auto matrices = document.value("matrices", nlohmann::json::object());
    for (const auto& [name, entry] : matrices.items()) {
        entry.at("squares").get_to(statistics.matrices[name].sum_of_squares);
        entry.at("count").get_to(statistics.matrices[name].count);
    }
    const auto curvatures = document.value("curvature", nlohmann::json::object());
    for (const auto& [name, entry] : curvatures.items()) {
        CurvatureStatistics& curvature = statistics.curvature[name];
        entry.at("rows").get_to(curvature.rows);
        entry.at("columns").get_to(curvature.columns);
        entry.at("gates").get_to(curvature.gates);
        entry.at("count").get_to(curvature.count);
    }
    return statistics;
}

}  // namespace

Team::Team(Ranks& ranks, std::int64_t tokens_at_once) : ranks_(ranks), tokens_at_once_(tokens_at_once) {
    for (const auto& theirs : exchange_values(ranks, std::span<const std::int64_t>(&tokens_at_once, 1)))
        tokens_at_once_ = std::min(tokens_at_once_, theirs.front());
}

std::vector<std::vector<ExampleGradients>> Team::share(std::span<const ExampleGradients> mine,
                                                       std::span<const std::size_t> n_heads) const {
    if (size() == 1) return {std::vector<ExampleGradients>(mine.begin(), mine.end())};
    std::vector<double> flat;
    for (const ExampleGradients& example : mine) {
        flat.push_back(example.loss);
        for (const std::vector<double>& layer : example.gates) flat.insert(flat.end(), layer.begin(), layer.end());
    }
    std::vector<std::vector<ExampleGradients>> all;
    for (const std::vector<double>& values : share(flat)) {
        std::vector<ExampleGradients>& examples = all.emplace_back();
        for (auto value = values.begin(); value != values.end();) {
            ExampleGradients& example = examples.emplace_back(ExampleGradients{.loss = *value++});
            for (const std::size_t n : n_heads) {
                example.gates.emplace_back(value, value + static_cast<std::ptrdiff_t>(n));
                value += static_cast<std::ptrdiff_t>(n);
            }
        }
    }
    return all;
}

std::vector<std::vector<double>> Team::share(std::span<const double> mine) const {
    return exchange_values(ranks_, mine);
}

void Team::add_up(std::span<LoraGradient> gradients) const {
    if (size() == 1) return;
    for (LoraGradient& gradient : gradients)
        for (std::vector<float>* values : {&gradient.a, &gradient.b}) {
            const auto all = exchange_values(ranks_, std::span<const float>(*values));
            for (std::size_t i = 0; i < values->size(); ++i) {
                double sum = 0;
                for (const std::vector<float>& theirs : all) sum += double{theirs[i]};
                (*values)[i] = static_cast<float>(sum);
            }
        }
}

void Team::add_up(Statistics& statistics) const {
    if (size() == 1) return;
    const auto all = ranks_.exchange(packed(statistics));
    Statistics sum = unpacked(all.front());
    for (std::size_t rank = 1; rank < all.size(); ++rank) add_statistics(sum, unpacked(all[rank]), "a rank");
    statistics.matrices = std::move(sum.matrices);
    statistics.curvature = std::move(sum.curvature);
    statistics.chunk_count = sum.chunk_count;
}

}  // namespace plasticity

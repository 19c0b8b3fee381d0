#include "verify/stock_check.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "engine/divergence.h"
#include "io/atomic_file.h"
#include "io/child_process.h"
#include "io/temporary_folder.h"
#include "verify/stock_logits.h"
#include "verify/subject.h"

namespace plasticity {
namespace {

constexpr std::string_view kCheckName = "stock llama.cpp";
constexpr const char* kTool = "llama-perplexity";

/// The line of a tool's log that says why it ended: the last with "error" or "failed" in it, else the last.
std::string reason_in(std::string_view log) {
    std::string last, reason;
    while (!log.empty()) {
        const std::size_t end = std::min(log.find('\n'), log.size());
        const std::string_view line = log.substr(0, end);
        log.remove_prefix(std::min(end + 1, log.size()));
        if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
        last = line;
        if (reason.empty() &&
            (line.find("error") != std::string_view::npos || line.find("failed") != std::string_view::npos))
            reason = line;
    }
    return reason.empty() ? last : reason;
}

struct Distance {
    std::vector<PositionOutcome> outcomes;  ///< of a chunk's positions, stock as the base
    float step = 0;                         ///< the largest of the codes
};

/// What the codes do not reach, more than 16 nats below the likeliest token, they all call the lowest: thousands of
/// such tokens would count for percents. They are left out, as llama.cpp does.
/// @param stock  ln p, [n_vocab]  @param own  logits, [n_vocab]
PositionOutcome compare_row(std::span<const float> stock, std::span<const float> own, std::int32_t next) {
    const double lowest = std::ranges::min(stock), log_sum = own[0] - log_softmax_at(own, 0);
    double kl = 0;
    for (std::size_t id = 0; id < stock.size(); ++id) {
        const double log_p = stock[id];
        if (log_p > lowest) kl += std::exp(log_p) * (log_p - (own[id] - log_sum));
    }
    const auto target = static_cast<std::size_t>(next);
    const bool same_top =
        std::ranges::max_element(stock) - stock.begin() == std::ranges::max_element(own) - own.begin();
    return {.kl = kl, .base_nll = -stock[target], .nll = log_sum - own[target], .same_top = same_top};
}

Distance compare_chunk(const StockLogits& stock, Decoder& decoder, const EvaluationText& text) {
    const std::vector<std::int32_t> chunk = text.chunk(0);
    std::vector<float> row(static_cast<std::size_t>(stock.n_vocab()));
    Distance distance;
    decoder.clear();
    decoder.feed(std::span(chunk).first(chunk.size() - 1), static_cast<std::size_t>(text.first_scored()),
                 [&](std::int32_t position, std::span<const float> own) {
                     distance.step = std::max(distance.step, stock.read_row(position - text.first_scored(), row));
                     const std::int32_t next = chunk[static_cast<std::size_t>(position) + 1];
                     distance.outcomes.push_back(compare_row(row, own, next));
                 });
    return distance;
}

/// @returns why the rows are not those of this text; empty where they are
std::string mismatch(const StockLogits& stock, const Decoder& decoder, const EvaluationText& text) {
    if (stock.n_vocab() != decoder.architecture().n_vocab)
        return fmt::format("it has {} tokens; the own engine {}", stock.n_vocab(), decoder.architecture().n_vocab);
    const auto first = std::span(text.tokens).first(static_cast<std::size_t>(text.context));
    if (stock.context() != text.context || !std::ranges::equal(first, std::span(stock.tokens()).first(first.size())))
        return "it makes other tokens of the same text";
    return "";
}

Check judge(const StockComparison& found, double max_kl) {
    const std::string text = fmt::format(
        "mean KL {:.2g}, at most {:.2g} nats over {} positions; perplexity {:.4f}, own engine {:.4f}; the same "
        "most likely token at {:.2f} %",
        found.mean_kl, found.max_kl, found.positions, found.stock_perplexity, found.own_perplexity,
        100 * found.top1_agreement);
    std::vector<std::string> problems;
    if (!(found.mean_kl <= max_kl))
        problems.push_back(fmt::format("{}; expected a mean of at most {:.2g}", text, max_kl));
    return make_check(kCheckName, problems, text);
}

/// Without repacked weights, whose kernels round otherwise than those that the own engine shares with the tool: SmolLM2
/// in Q4_K_M has a perplexity of 8.902 with them, 8.897 without and here.
ChildResult run_tool(const StockTools& tools, const StockRun& run, const std::filesystem::path& folder) {
    const std::string context = std::to_string(run.tokens->context), text = (folder / "text.txt").string();
    write_text_file(text, run.text, Overwrite::kRefuse);
    return run_child({.program = tools.perplexity,
                      .arguments = {"-m", std::filesystem::absolute(run.model).string(), "-f", text, "-c", context,
                                    "-b", context, "--chunks", "1", "--no-repack", "-t", std::to_string(run.threads),
                                    "--kl-divergence-base", (folder / "logits").string()},
                      .folder = folder});
}

}  // namespace

StockTools find_stock_tools(const std::filesystem::path& folder) {
    for (const char* below : {"", "bin", "build/bin"}) {
        const std::filesystem::path tool = std::filesystem::absolute(folder) / below / kTool;
        if (std::filesystem::is_regular_file(tool) && access(tool.c_str(), X_OK) == 0) return {tool};
    }
    throw Error(ErrorKind::kMissing,
                fmt::format("{}: has no {} in it, in bin or in build/bin; expected the folder of a "
                            "llama.cpp that was built",
                            folder.string(), kTool));
}

void check_stock(const StockTools& tools, const StockRun& run, Decoder& decoder, Findings findings) {
    Report& report = findings.report;
    findings.progress.note(fmt::format("stock llama.cpp: {}", tools.perplexity.string()));
    const TemporaryFolder folder;
    const ChildResult ran = run_tool(tools, run, folder.path());
    const auto finding = [&](const std::string& problem) {
        report.checks.push_back(make_check(kCheckName, {problem}, ""));
    };
    if (!ran.succeeded() || !std::filesystem::exists(folder.path() / "logits"))
        return finding(fmt::format("{} ended with {}: {}", kTool, ran.ending(), reason_in(ran.err + "\n" + ran.out)));
    const StockLogits stock(folder.path() / "logits");
    const std::string other = mismatch(stock, decoder, *run.tokens);
    if (!other.empty()) return finding(other);
    const Distance distance = compare_chunk(stock, decoder, *run.tokens);
    const QualityPanel panel = summarize(distance.outcomes, distance.outcomes.size());
    report.stock_comparison = StockComparison{.tool = tools.perplexity.string(),
                                              .positions = panel.positions,
                                              .mean_kl = panel.mean_kl,
                                              .max_kl = std::max(panel.max_kl, 0.0),
                                              .code_step = distance.step,
                                              .top1_agreement = panel.top1_agreement,
                                              .stock_perplexity = panel.base_perplexity,
                                              .own_perplexity = panel.perplexity};
    report.checks.push_back(judge(*report.stock_comparison, run.max_kl));
}

}  // namespace plasticity

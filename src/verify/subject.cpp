#include "verify/subject.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/error.h"

namespace plasticity {
namespace {

/// Problems spelt out in one check; the rest is counted.
constexpr std::size_t kSpeltOut = 8;

}  // namespace

Subject::Subject(const std::filesystem::path& path) : file(path) {
    try {
        recipe = embedded_recipe(file.metadata(), path);
    } catch (const Error& error) {
        recipe_problem = error.what();
    }
    try {
        model = open_model(path);
    } catch (const Error& error) {
        if (error.kind() != ErrorKind::kMalformed) throw;
        model_problem = error.what();
    }
}

Check make_check(std::string_view name, const std::vector<std::string>& problems, std::string fine) {
    if (problems.empty()) return {std::string(name), true, std::move(fine)};
    const auto shown = std::span(problems).first(std::min(problems.size(), kSpeltOut));
    std::string detail = fmt::format("{}", fmt::join(shown, "; "));
    if (shown.size() < problems.size()) detail += fmt::format("; and {} more", problems.size() - shown.size());
    return {std::string(name), false, std::move(detail)};
}

}  // namespace plasticity

#include "score/slice_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "core/error.h"

namespace plasticity {
namespace {

constexpr std::size_t kNamedSlices = 10;

void require_same(const SliceFile& a, const SliceFile& b, std::string_view what, const std::string& of_a,
                  const std::string& of_b) {
    if (of_a == of_b) return;
    throw Error(ErrorKind::kMalformed,
                fmt::format("merge: {} is of {} {}, {} of {}; expected slices of one run: the same model, tokenizer, "
                            "data, adapter and options",
                            b.path.string(), what, of_b.empty() ? "none" : of_b, a.path.string(),
                            of_a.empty() ? "none" : of_a));
}

void require_one_run(const SliceFile& a, const SliceFile& b) {
    const ScoreProvenance &p = a.provenance, &q = b.provenance;
    require_same(a, b, "the model", p.model_sha256, q.model_sha256);
    require_same(a, b, "the tokenizer", p.tokenizer_sha256, q.tokenizer_sha256);
    require_same(a, b, "the data", p.data_sha256, q.data_sha256);
    require_same(a, b, "the adapter", p.adapter_sha256, q.adapter_sha256);
    require_same(a, b, "--chunk", std::to_string(p.chunk), std::to_string(q.chunk));
    require_same(a, b, "--precision", p.precision, q.precision);
    require_same(a, b, "the program's version", p.program_version, q.program_version);
    require_same(a, b, "the options", a.options, b.options);
    require_same(a, b, "the number of examples", std::to_string(a.slice.n_examples),
                 std::to_string(b.slice.n_examples));
    require_same(a, b, "the number of slices", std::to_string(a.slice.count), std::to_string(b.slice.count));
}

/// "2, 4, 5", the rest as a number.
std::string names_of(const std::vector<std::int32_t>& slices) {
    std::string text;
    for (std::size_t i = 0; i < std::min(slices.size(), kNamedSlices); ++i)
        text += fmt::format("{}{}", i == 0 ? "" : ", ", slices[i]);
    if (slices.size() > kNamedSlices) text += fmt::format(" and {} more", slices.size() - kNamedSlices);
    return text;
}

}  // namespace

std::vector<std::size_t> order_of_slices(const std::vector<SliceFile>& files) {
    if (files.empty()) throw Error(ErrorKind::kUsage, "merge: no files; expected all slices of a run");
    for (const SliceFile& file : files) require_one_run(files.front(), file);

    const std::int32_t count = files.front().slice.count;
    std::vector<std::size_t> order(static_cast<std::size_t>(count), files.size());
    for (std::size_t i = 0; i < files.size(); ++i) {
        std::size_t& place = order[static_cast<std::size_t>(files[i].slice.index) - 1];
        if (place != files.size())
            throw Error(ErrorKind::kUsage,
                        fmt::format("merge: {} and {} are both slice {} of {}; expected each once",
                                    files[place].path.string(), files[i].path.string(), files[i].slice.index, count));
        place = i;
    }
    std::vector<std::int32_t> missing;
    for (std::int32_t index = 1; index <= count; ++index)
        if (order[static_cast<std::size_t>(index) - 1] == files.size()) missing.push_back(index);
    if (!missing.empty())
        throw Error(
            ErrorKind::kUsage,
            fmt::format("merge: {} of {} slices are missing: {}; score them with --slice i/{} and name all files",
                        missing.size(), count, names_of(missing), count));
    return order;
}

void refuse_whole_run(const std::filesystem::path& path) {
    throw Error(ErrorKind::kUsage,
                fmt::format("merge: {} is not of a slice; expected what score --slice i/n writes", path.string()));
}

}  // namespace plasticity

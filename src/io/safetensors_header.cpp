#include "io/safetensors_header.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/error.h"
#include "io/printable.h"
#include "io/strict_json.h"

namespace plasticity {
namespace {

constexpr std::string_view kMetadataKey = "__metadata__";
constexpr std::size_t kMaxRank = 64;  // as many as NumPy and PyTorch take

/// Takes the parser's events. Where it is in the document:
///
///     {                                   kTop
///       "__metadata__": {                 kMetadata
///         "key": "text" },
///       "name": {                         kTensor
///         "dtype": "F32",
///         "shape": [2, 3],                kShape
///         "data_offsets": [0, 24] } }     kOffsets
class HeaderBuilder {
public:
    explicit HeaderBuilder(const std::string& where) : where_(where) {}

    bool null() { fail("null"); }
    bool boolean(bool) { fail("a boolean"); }
    bool number_integer(std::int64_t value) { fail(fmt::format("the negative number {}", value)); }
    bool number_float(double, const std::string& text) { fail(fmt::format("the number {}", printable(text))); }
    bool binary(std::vector<std::uint8_t>&) { fail("binary data"); }
    bool number_unsigned(std::uint64_t value);
    bool string(std::string& text);
    bool key(std::string& name);
    bool start_object(std::size_t);
    bool end_object();
    bool start_array(std::size_t);
    bool end_array();
    bool parse_error(std::size_t byte, const std::string&, const nlohmann::json::exception& problem) {
        malformed(fmt::format("not valid JSON at byte {}: {}", byte, json_problem(problem.what())));
    }

    SafetensorsHeader take() { return std::move(header_); }

private:
    enum class Place { kOutside, kTop, kMetadata, kTensor, kShape, kOffsets };

    [[noreturn]] void malformed(const std::string& problem) const {
        throw Error(ErrorKind::kMalformed, fmt::format("{}: safetensors header: {}", where_, problem));
    }
    /// A value of the wrong kind, located by the last keys.
    [[noreturn]] void fail(std::string_view got) const;

    void insert_unique(std::set<std::string>& seen, const std::string& name) {
        if (!seen.insert(name).second) malformed(fmt::format("key {} appears twice", printable(name)));
    }

    const std::string& where_;
    SafetensorsHeader header_;
    Place place_ = Place::kOutside;
    std::set<std::string> top_keys_;
    std::set<std::string> inner_keys_;
    std::string top_key_;
    std::string inner_key_;
    std::vector<std::uint64_t> offsets_;
};

void HeaderBuilder::fail(std::string_view got) const {
    std::string expected = "one object, of tensors";
    if (place_ == Place::kTop) expected = "an object";
    if (place_ == Place::kMetadata) expected = "a string";
    if (place_ == Place::kTensor) expected = inner_key_ == "dtype" ? "a string" : "an array of whole numbers";
    if (place_ == Place::kShape || place_ == Place::kOffsets) expected = "whole numbers, zero or more";
    const std::string entry = top_key_.empty() ? std::string() : fmt::format("{}: ", printable(top_key_));
    const std::string field = inner_key_.empty() ? std::string() : fmt::format("{}: ", printable(inner_key_));
    malformed(fmt::format("{}{}{}; expected {}", entry, field, got, expected));
}

bool HeaderBuilder::number_unsigned(std::uint64_t value) {
    if (place_ == Place::kShape) {
        std::vector<std::uint64_t>& shape = header_.tensors.back().shape;
        if (shape.size() == kMaxRank) fail(fmt::format("more than {} dimensions", kMaxRank));
        shape.push_back(value);
    } else if (place_ == Place::kOffsets && offsets_.size() < 3) {  // three are as wrong as three thousand
        offsets_.push_back(value);
    } else if (place_ != Place::kOffsets) {
        fail(fmt::format("the number {}", value));
    }
    return true;
}

bool HeaderBuilder::string(std::string& text) {
    if (place_ == Place::kMetadata)
        header_.metadata[inner_key_] = std::move(text);
    else if (place_ == Place::kTensor && inner_key_ == "dtype")
        header_.tensors.back().dtype = std::move(text);
    else
        fail(fmt::format("the string {}", printable(text)));
    return true;
}

bool HeaderBuilder::key(std::string& name) {
    if (place_ == Place::kTop) {
        insert_unique(top_keys_, name);
        top_key_ = std::move(name);
        return true;
    }
    insert_unique(inner_keys_, name);
    inner_key_ = std::move(name);
    if (place_ == Place::kTensor && inner_key_ != "dtype" && inner_key_ != "shape" && inner_key_ != "data_offsets")
        malformed(fmt::format("tensor {}: key {}; expected dtype, shape and data_offsets", printable(top_key_),
                              printable(inner_key_)));
    return true;
}

bool HeaderBuilder::start_object(std::size_t) {
    if (place_ == Place::kOutside) {
        place_ = Place::kTop;
    } else if (place_ == Place::kTop && top_key_ == kMetadataKey) {
        place_ = Place::kMetadata;
    } else if (place_ == Place::kTop) {
        place_ = Place::kTensor;
        header_.tensors.emplace_back().name = top_key_;
    } else {
        fail("an object");
    }
    inner_keys_.clear();
    return true;
}

bool HeaderBuilder::end_object() {
    if (place_ == Place::kTensor && inner_keys_.size() != 3)
        malformed(fmt::format("tensor {}: lacks one of dtype, shape and data_offsets", printable(top_key_)));
    inner_key_.clear();
    place_ = place_ == Place::kTop ? Place::kOutside : Place::kTop;
    return true;
}

bool HeaderBuilder::start_array(std::size_t) {
    if (place_ == Place::kTensor && inner_key_ == "shape")
        place_ = Place::kShape;
    else if (place_ == Place::kTensor && inner_key_ == "data_offsets")
        place_ = Place::kOffsets;
    else
        fail("an array");
    return true;
}

bool HeaderBuilder::end_array() {
    if (place_ == Place::kOffsets) {
        if (offsets_.size() != 2)
            malformed(fmt::format("tensor {}: data_offsets of {} numbers; expected 2", printable(top_key_),
                                  offsets_.size() < 3 ? std::to_string(offsets_.size()) : "3 or more"));
        header_.tensors.back().begin = offsets_[0];
        header_.tensors.back().end = offsets_[1];
        offsets_.clear();
    }
    place_ = Place::kTensor;
    return true;
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view text, const std::string& where) {
    HeaderBuilder builder(where);
    // The builder throws; the result and the flag of the parser say nothing more.
    nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
    return builder.take();
}

}  // namespace plasticity

#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "io/gguf_reader.h"

namespace plasticity::test {

/// A tensor of a finished file, as it is stored.
inline std::string tensor_bytes(const std::filesystem::path& path, const std::string& name) {
    const GgufReader file(path);
    const GgufTensor* tensor = file.find(name);
    EXPECT_NE(tensor, nullptr) << name;
    std::string bytes(tensor->bytes, '\0');
    file.read(*tensor, 0, std::as_writable_bytes(std::span(bytes)));
    return bytes;
}

/// Row-major F32 values of a tensor of a finished file.
inline std::vector<float> values_of(const std::filesystem::path& path, const std::string& name) {
    const GgufReader file(path);
    const GgufTensor* tensor = file.find(name);
    EXPECT_NE(tensor, nullptr) << name;
    EXPECT_EQ(tensor->type, GGML_TYPE_F32) << name;
    std::vector<float> values(tensor->bytes / sizeof(float));
    file.read(*tensor, 0, std::as_writable_bytes(std::span(values)));
    return values;
}

}  // namespace plasticity::test

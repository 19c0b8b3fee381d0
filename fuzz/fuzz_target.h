#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <span>
#include <string_view>

#include "core/error.h"

namespace plasticity::fuzz {

/// A reader that is handed hostile bytes. It may refuse them; anything else that goes wrong ends the process.
struct Target {
    std::string_view name;
    void (*run)(std::span<const std::byte> input);
};

/// Every target, one per file of fuzz/targets/.
std::span<const Target> targets();
/// @returns nullptr for a name that is none
const Target* find_target(std::string_view name);

/// The input as a file in memory, replaced at each call. @returns its path, the same each time
std::filesystem::path file_of(std::span<const std::byte> input);

/// An empty folder of the process's own, removed when it ends.
const std::filesystem::path& scratch_folder();
void write_file(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file(const std::filesystem::path& path, std::string_view text);

/// Runs a reader. An Error of one of these kinds is a refusal, which is as good as success; every other exception
/// escapes and is a finding.
/// @returns whether the input was accepted
bool accepts(std::initializer_list<ErrorKind> refusals, const std::function<void()>& reader);

/// An input that was accepted must hold to what the reader promises. Ends the process where it does not.
void require(bool holds, std::string_view promise);

void run_api_request(std::span<const std::byte> input);
void run_config(std::span<const std::byte> input);
void run_corpus(std::span<const std::byte> input);
void run_gate_gradients(std::span<const std::byte> input);
void run_gguf(std::span<const std::byte> input);
void run_lora_adapter(std::span<const std::byte> input);
void run_pipeline_file(std::span<const std::byte> input);
void run_recipe(std::span<const std::byte> input);
void run_rpc_request(std::span<const std::byte> input);
void run_run_artifacts(std::span<const std::byte> input);
void run_safetensors(std::span<const std::byte> input);
void run_shard_index(std::span<const std::byte> input);
void run_stage_request(std::span<const std::byte> input);
void run_statistics(std::span<const std::byte> input);
void run_stock_logits(std::span<const std::byte> input);
void run_tasks(std::span<const std::byte> input);
void run_tokenizer(std::span<const std::byte> input);
void run_vocabulary(std::span<const std::byte> input);

}  // namespace plasticity::fuzz

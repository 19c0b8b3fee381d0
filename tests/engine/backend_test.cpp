#include "engine/backend.h"

#include <ggml-cpu.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "engine/decoder_pass.h"
#include "engine/devices.h"
#include "engine/engine_support.h"
#include "engine/kv_cache.h"
#include "engine/weights.h"

namespace plasticity {
namespace {

using test::quiet;

const std::vector<ComputeDevice> kTwoDevices{{"CUDA0", "a card", nullptr}, {"Vulkan0", "another", nullptr}};

TEST(DeviceNames, AreGgmlsAndTheirCaseDoesNotCount) {
    EXPECT_EQ(choose_device("Vulkan0", kTwoDevices)->description, "another");
    EXPECT_EQ(choose_device("cuda0", kTwoDevices)->name, "CUDA0");
    EXPECT_FALSE(choose_device("cpu", kTwoDevices));
    EXPECT_FALSE(choose_device("CPU", {}));
}

TEST(DeviceNames, AutoIsTheFirstDeviceOrTheCpu) {
    EXPECT_EQ(choose_device("auto", kTwoDevices)->name, "CUDA0");
    EXPECT_FALSE(choose_device("auto", {}));
}

TEST(DeviceNames, UnknownOnesAreErrorsThatNameTheKnown) {
    const auto message = [](std::string_view name, const std::vector<ComputeDevice>& devices) -> std::string {
        try {
            choose_device(name, devices);
        } catch (const Error& error) {
            EXPECT_EQ(error.kind(), ErrorKind::kUsage);
            return error.what();
        }
        return "no error";
    };
    EXPECT_EQ(message("CUDA1", kTwoDevices),
              "backend: got 'CUDA1'; expected auto or cpu, or CUDA0 (a card), or Vulkan0 (another)");
    EXPECT_NE(message("CUDA0", {}).find("ggml finds no other device"), std::string::npos);
    EXPECT_NE(message("", {}).find("got ''"), std::string::npos);
}

/// ggml's CPU backend once more, in the place of a device: everything goes through the scheduler, in buffers of its
/// own.
Backend stand_in() {
    ggml_backend_ptr device(ggml_backend_cpu_init());
    ggml_backend_cpu_set_n_threads(device.get(), 1);
    return {std::move(device), "stand-in", 1};
}

class PassBesideADevice : public testing::TestWithParam<Offload> {
protected:
    PassBesideADevice() { model_ = open_model(test::write_tiny_gguf(dir_ / "tiny.gguf", test::family_model("deci"))); }

    /// Final hidden states of batches behind one another; the last of them is served by the graph before.
    std::vector<float> hidden_states(const Backend& backend, const Offload& offload) const {
        const Weights weights(*model_, backend, {.offload = offload}, quiet());
        KvCache cache(model_->architecture(), backend, {.capacity = 300, .offload = offload});
        GraphWorkspace graph(backend);
        std::optional<DecoderPass> pass;
        std::vector<float> hidden;
        for (const std::size_t n_tokens : {270, 20, 1, 1}) {
            const auto tokens = test::scattered_tokens(n_tokens);
            const PassSequence sequence{.cache = &cache, .n_tokens = static_cast<std::int64_t>(n_tokens)};
            const bool served = pass && pass->serves(std::span(&sequence, 1));
            EXPECT_EQ(served, cache.used() == 291);
            if (!served) {
                pass = build_pass(graph, {.weights = weights.pass(), .sequences = std::span(&sequence, 1)});
                graph.prepare();
            }
            pass->fill_inputs(tokens);
            graph.run();
            std::vector<float> rows(n_tokens * static_cast<std::size_t>(model_->architecture().n_embd));
            fetch<float>(pass->hidden, rows);
            hidden.insert(hidden.end(), rows.begin(), rows.end());
            cache.advance(static_cast<std::int32_t>(n_tokens));
        }
        return hidden;
    }

    test::TempDir dir_;
    std::unique_ptr<Model> model_;
};

/// The kernels are the same and their sums too, but for attention over cells that are masked: those add nothing.
TEST_P(PassBesideADevice, SaysWhatTheCpuSays) {
    const std::vector<float> alone = hidden_states(Backend(1), {}), beside = hidden_states(stand_in(), GetParam());
    ASSERT_EQ(alone.size(), beside.size());
    for (std::size_t i = 0; i < alone.size(); ++i) ASSERT_NEAR(alone[i], beside[i], 1e-5) << i;
}

INSTANTIATE_TEST_SUITE_P(Placements, PassBesideADevice,
                         testing::Values(Offload{}, Offload{.first_layer = 3, .output = true},
                                         Offload{.first_layer = 1, .output = true, .embedding = true},
                                         Offload{.first_layer = 0, .output = true, .embedding = true}));

TEST(WeightsBesideADevice, LieWhereTheyWerePut) {
    const test::TempDir dir;
    const auto model = open_model(test::write_tiny_gguf(dir / "tiny.gguf"));
    const Backend backend = stand_in();
    const OffloadSizes sizes = weight_sizes(*model, {});
    const auto device_bytes = [&](const Offload& offload) {
        return Weights(*model, backend, {.offload = offload}, quiet()).bytes_in(Place::kDevice);
    };
    EXPECT_EQ(device_bytes({}), 0u);
    const auto n_layer = static_cast<std::int32_t>(sizes.layers.size());
    // Every tensor begins at a multiple of some bytes.
    const double slack = 64.0 * static_cast<double>(model->tensors().size());
    const std::size_t last = device_bytes({.first_layer = n_layer - 1});
    EXPECT_NEAR(static_cast<double>(last), static_cast<double>(sizes.layers.back()), slack);
    const std::size_t all = device_bytes({.first_layer = 0, .output = true, .embedding = sizes.tied});
    std::uint64_t total = sizes.output;
    for (const std::uint64_t bytes : sizes.layers) total += bytes;
    EXPECT_NEAR(static_cast<double>(all), static_cast<double>(total), slack);
}

}  // namespace
}  // namespace plasticity

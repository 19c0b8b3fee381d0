#include "support/tiny_model.h"

#include <cmath>
#include <map>
#include <stdexcept>

namespace plasticity::test {
namespace {

/// Counter-based (SplitMix64), so that a weight depends on its place alone.
std::uint64_t scramble(std::uint64_t value) {
    value += 0x9E3779B97F4A7C15ull;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ull;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBull;
    return value ^ (value >> 31);
}

std::uint64_t hash_of(std::string_view name) {
    std::uint64_t hash = 14695981039346656037ull;  // FNV-1a
    for (const char letter : name) hash = (hash ^ static_cast<unsigned char>(letter)) * 1099511628211ull;
    return hash;
}

/// Uniform in [-1, 1).
float uniform(std::uint64_t bits) {
    return static_cast<float>(static_cast<double>(bits >> 11) * 0x1p-52 - 1.0);
}

std::string utf8(std::uint32_t code_point) {
    if (code_point < 0x80) return {static_cast<char>(code_point)};
    return {static_cast<char>(0xC0 | (code_point >> 6)), static_cast<char>(0x80 | (code_point & 0x3F))};
}

/// GPT-2's alphabet: printable bytes stand for themselves, the others for code points from 256 on.
std::string letter_of_byte(std::uint32_t byte) {
    const auto is_printable = [](std::uint32_t b) {
        return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
    };
    if (is_printable(byte)) return utf8(byte);
    std::uint32_t rank = 0;
    for (std::uint32_t b = 0; b < byte; ++b) rank += is_printable(b) ? 0 : 1;
    return utf8(256 + rank);
}

GgufTensorSpec spec(const TensorId& id, ggml_type type, std::int64_t rows, std::int64_t cols, bool is_vector) {
    return {.name = gguf_name(id), .type = type, .n_dims = is_vector ? 1 : 2, .dims = {cols, rows, 1, 1}};
}

void add_block(const Architecture& architecture, int layer, bool biases, ggml_type type,
               std::vector<GgufTensorSpec>& tensors) {
    const LayerGeometry& geometry = architecture.layers.at(static_cast<std::size_t>(layer));
    const std::int64_t width = architecture.n_embd;
    const auto vector = [&](TensorRole role, std::int64_t n, bool is_bias = false) {
        tensors.push_back(spec({role, layer, is_bias}, GGML_TYPE_F32, 1, n, true));
    };
    const auto matrix = [&](TensorRole role, std::int64_t rows, std::int64_t cols) {
        tensors.push_back(spec({role, layer}, type, rows, cols, false));
    };
    if (geometry.n_head > 0) {
        const std::int64_t q = std::int64_t{geometry.n_head} * architecture.head_dim;
        const std::int64_t kv = std::int64_t{geometry.n_head_kv} * architecture.head_dim;
        vector(TensorRole::kAttentionNorm, width);
        matrix(TensorRole::kQuery, q, width);
        matrix(TensorRole::kKey, kv, width);
        matrix(TensorRole::kValue, kv, width);
        matrix(TensorRole::kAttentionOutput, width, q);
        if (biases) {
            vector(TensorRole::kQuery, q, true);
            vector(TensorRole::kKey, kv, true);
            vector(TensorRole::kValue, kv, true);
        }
    }
    vector(TensorRole::kFeedForwardNorm, width);
    matrix(TensorRole::kGate, geometry.n_ff, width);
    matrix(TensorRole::kUp, geometry.n_ff, width);
    matrix(TensorRole::kDown, width, geometry.n_ff);
}

}  // namespace

Architecture tiny_architecture(const TinyModelOptions& options) {
    Architecture architecture;
    architecture.name = options.architecture;
    architecture.model_name = "tiny";
    architecture.n_embd = options.n_embd;
    architecture.n_vocab = kTinyVocabulary;
    architecture.head_dim = options.head_dim;
    architecture.n_rot = options.head_dim;
    architecture.context_length = options.context_length;
    architecture.rope_layout = options.architecture == "qwen2" ? RopeLayout::kNeox : RopeLayout::kNorm;
    architecture.rope_scaling.original_context_length = options.context_length;
    architecture.tied_embeddings = options.tied;
    architecture.layers = options.layers;
    if (architecture.layers.empty())
        architecture.layers.assign(static_cast<std::size_t>(options.n_layer),
                                   {options.n_head, options.n_head_kv, options.n_ff});
    return architecture;
}

GgufMetadata tiny_tokenizer(std::string_view pre) {
    constexpr std::int32_t kNormal = 1, kControl = 3;
    std::vector<std::string> tokens;
    for (std::uint32_t byte = 0; byte < 256; ++byte) tokens.push_back(letter_of_byte(byte));
    const std::string space = letter_of_byte(' ');
    const std::vector<std::string> merges{space + " t", "h e", space + "t he", "i n", "e r"};
    for (const std::string& merge : merges) {
        std::string token = merge;
        token.erase(token.find(' '), 1);
        tokens.push_back(token);
    }
    for (const char* control : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) tokens.emplace_back(control);
    std::vector<std::int32_t> types(tokens.size(), kNormal);
    for (std::size_t id = kTinyEndOfText; id < types.size(); ++id) types[id] = kControl;

    GgufMetadata metadata;
    metadata.set("tokenizer.ggml.model", std::string("gpt2"));
    metadata.set("tokenizer.ggml.pre", std::string(pre));
    metadata.set("tokenizer.ggml.tokens", GgufArray(std::move(tokens)));
    metadata.set("tokenizer.ggml.token_type", GgufArray(std::move(types)));
    metadata.set("tokenizer.ggml.merges", GgufArray(merges));
    metadata.set("tokenizer.ggml.bos_token_id", static_cast<std::uint32_t>(kTinyEndOfText));
    metadata.set("tokenizer.ggml.eos_token_id", static_cast<std::uint32_t>(kTinyMessageEnd));
    metadata.set("tokenizer.ggml.padding_token_id", static_cast<std::uint32_t>(kTinyEndOfText));
    metadata.set("tokenizer.ggml.add_bos_token", false);
    metadata.set("tokenizer.chat_template",
                 std::string("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
                             "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
                             "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"));
    return metadata;
}

GgufLayout tiny_layout(const TinyModelOptions& options) {
    const Architecture architecture = tiny_architecture(options);
    GgufLayout layout;
    layout.metadata.set("general.architecture", architecture.name);
    layout.metadata.set("general.type", std::string("model"));
    layout.metadata.set("general.name", architecture.model_name);
    write_architecture(architecture, layout.metadata);
    const GgufMetadata tokenizer = tiny_tokenizer(options.architecture == "qwen2" ? "qwen2" : "smollm");
    for (const auto& [key, value] : tokenizer.entries()) layout.metadata.set(key, value);

    const bool biases = options.qkv_biases < 0 ? options.architecture == "qwen2" : options.qkv_biases == 1;
    const std::int64_t width = architecture.n_embd;
    layout.tensors.push_back(
        spec({TensorRole::kTokenEmbedding}, options.matrix_type, architecture.n_vocab, width, false));
    for (int layer = 0; layer < architecture.n_layer(); ++layer)
        add_block(architecture, layer, biases, options.matrix_type, layout.tensors);
    layout.tensors.push_back(spec({TensorRole::kOutputNorm}, GGML_TYPE_F32, 1, width, true));
    if (!options.tied)
        layout.tensors.push_back(spec({TensorRole::kOutput}, options.matrix_type, architecture.n_vocab, width, false));
    return layout;
}

std::vector<float> tiny_weights(const GgufTensorSpec& tensor, std::uint32_t seed) {
    std::size_t count = 1;
    for (const std::int64_t dim : tensor.dims) count *= static_cast<std::size_t>(dim);
    const bool is_bias = tensor.name.ends_with(".bias");
    const bool is_norm = tensor.n_dims == 1 && !is_bias;
    // √3 makes the variance of uniform values 1, so a matrix keeps the size of what it maps.
    const float scale = tensor.n_dims == 1 ? 0.1f : std::sqrt(3.0f / static_cast<float>(tensor.dims[0]));

    const std::uint64_t stream = scramble(hash_of(tensor.name) ^ scramble(seed));
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = (is_norm ? 1.0f : 0.0f) + scale * uniform(scramble(stream + i));
    return values;
}

std::vector<float> uniform_stream(std::string_view name, std::size_t count) {
    const std::uint64_t stream = scramble(hash_of(name));
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = uniform(scramble(stream + i));
    return values;
}

std::filesystem::path write_tiny_layout(const std::filesystem::path& path, const GgufLayout& layout,
                                        std::uint32_t seed) {
    GgufWriter writer(path, layout, Overwrite::kReplace);
    for (const GgufTensorSpec& tensor : layout.tensors) {
        const std::vector<float> values = tiny_weights(tensor, seed);
        std::vector<std::byte> stored(tensor.bytes());
        const std::int64_t n_rows = tensor.dims[1] * tensor.dims[2] * tensor.dims[3];
        if (ggml_quantize_requires_imatrix(tensor.type)) throw std::invalid_argument("type needs importance weights");
        ggml_quantize_chunk(tensor.type, values.data(), stored.data(), 0, n_rows, tensor.dims[0], nullptr);
        writer.write(tensor.name, stored);
    }
    writer.finish();
    return path;
}

std::filesystem::path write_tiny_gguf(const std::filesystem::path& path, const TinyModelOptions& options) {
    return write_tiny_layout(path, tiny_layout(options), options.seed);
}

std::vector<float> all_values(const Model& model, const TensorId& id) {
    const ModelTensor& tensor = model.require(id);
    std::vector<float> values(static_cast<std::size_t>(tensor.rows * tensor.cols));
    model.read_rows_f32(tensor, 0, tensor.rows, values);
    return values;
}

}  // namespace plasticity::test

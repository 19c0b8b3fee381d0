#include "core/hash.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <iterator>
#include <vector>

#include "core/error.h"
#include "core/interrupt.h"

namespace plasticity {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

void require(bool succeeded) {
    if (!succeeded) throw Error(ErrorKind::kInternal, "SHA-256: OpenSSL refused; is the object spent already?");
}

[[noreturn]] void throw_io(const std::filesystem::path& path, ErrorKind kind, int error) {
    throw Error(kind, fmt::format("{}: cannot read it for its SHA-256: {}", path.string(), system_reason(error)));
}

struct Descriptor {
    int value = -1;
    ~Descriptor() {
        if (value >= 0) ::close(value);
    }
};

}  // namespace

struct Sha256::State {
    struct ContextDeleter {
        void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
    };
    std::unique_ptr<EVP_MD_CTX, ContextDeleter> context{EVP_MD_CTX_new()};
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
    require(state_->context != nullptr && EVP_DigestInit_ex(state_->context.get(), EVP_sha256(), nullptr) == 1);
}
Sha256::~Sha256() = default;
Sha256::Sha256(const Sha256& other) : state_(std::make_unique<State>()) {
    require(other.state_ != nullptr && state_->context != nullptr &&
            EVP_MD_CTX_copy_ex(state_->context.get(), other.state_->context.get()) == 1);
}
Sha256& Sha256::operator=(const Sha256& other) {
    return *this = Sha256(other);
}
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::span<const std::byte> bytes) {
    require(state_ != nullptr && EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()) == 1);
}

std::string Sha256::finish() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int length = 0;
    require(state_ != nullptr && EVP_DigestFinal_ex(state_->context.get(), digest.data(), &length) == 1);
    state_.reset();

    std::string hex;
    for (unsigned int i = 0; i < length; ++i) fmt::format_to(std::back_inserter(hex), "{:02x}", digest[i]);
    return hex;
}

std::string sha256_base64(std::string_view text) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned int length = 0;
    require(EVP_Digest(text.data(), text.size(), digest.data(), &length, EVP_sha256(), nullptr) == 1);
    std::array<unsigned char, 2 * EVP_MAX_MD_SIZE> base64{};
    const int n = EVP_EncodeBlock(base64.data(), digest.data(), static_cast<int>(length));
    return {base64.begin(), base64.begin() + n};
}

std::string sha256_hex(std::string_view text) {
    Sha256 hash;
    hash.update(text);
    return hash.finish();
}

std::string sha256_of_file(const std::filesystem::path& path) {
    // O_NONBLOCK: opening a FIFO that nobody writes to must not hang.
    const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (file.value < 0)
        throw_io(path, errno == ENOENT || errno == ENOTDIR ? ErrorKind::kMissing : ErrorKind::kIo, errno);
    struct stat status{};
    if (::fstat(file.value, &status) != 0) throw_io(path, ErrorKind::kIo, errno);
    if (!S_ISREG(status.st_mode)) throw_io(path, ErrorKind::kIo, EINVAL);

    Sha256 hash;
    std::vector<std::byte> buffer(kBufferBytes);
    for (;;) {
        throw_if_interrupted();
        const ssize_t got = ::read(file.value, buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) throw_io(path, ErrorKind::kIo, errno);
        if (got == 0) return hash.finish();
        hash.update(std::span(buffer).first(static_cast<std::size_t>(got)));
    }
}

}  // namespace plasticity

#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace plasticity {

inline constexpr std::size_t kSha256Digits = 64;  ///< of its text, hexadecimal

/// SHA-256 (FIPS 180-4) of bytes that arrive in pieces; OpenSSL does the work.
class Sha256 {
public:
    Sha256();
    ~Sha256();
    /// A copy goes on from the same bytes. Of an object that is not spent.
    Sha256(const Sha256& other);
    Sha256& operator=(const Sha256& other);
    Sha256(Sha256&&) noexcept;
    Sha256& operator=(Sha256&&) noexcept;

    void update(std::span<const std::byte> bytes);
    void update(std::string_view text) { update(std::as_bytes(std::span(text))); }
    /// 64 lower-case hex digits. The object is spent afterwards.
    std::string finish();

private:
    struct State;
    std::unique_ptr<State> state_;
};

std::string sha256_hex(std::string_view text);
std::string sha256_base64(std::string_view text);  ///< with padding, as content security policies have it
/// @throws Error (kMissing, kIo)
std::string sha256_of_file(const std::filesystem::path& path);

}  // namespace plasticity

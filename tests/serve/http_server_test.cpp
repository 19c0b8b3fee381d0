#include "serve/http_server.h"

#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "serve/raw_client.h"

namespace plasticity {
namespace {

using test::post_text;
using test::RawClient;
using test::status_of;

constexpr std::string_view kGet = "GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

class HttpServerLimits : public testing::Test {
protected:
    void start(ServeLimits limits = {}, std::string key = "") {
        server_ = std::make_unique<HttpServer>(HttpAccess{.port = 0, .api_key = std::move(key)}, limits_ = limits);
        const auto work = [this](const httplib::Request& request, httplib::Response& response) {
            Connection::current()->begin_work();
            ++at_work_;
            while (held_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
            response.set_content(std::to_string(request.body.size()), "text/plain");
        };
        server_->Get("/ping", work);
        server_->Get("/health", work);
        server_->Post("/echo", work);
        server_->start([this](int status) { last_status_ = status; });
    }

    std::string ask(std::string_view bytes) const {
        const RawClient client(server_->port());
        client.send(bytes);
        return client.read();
    }

    /// Refused with this status and OpenAI's kind of error.
    void expect_refused(std::string_view bytes, int status, std::string_view reason) const {
        const std::string answer = ask(bytes);
        EXPECT_EQ(status_of(answer), status) << answer;
        const auto error = nlohmann::json::parse(test::body_of(answer), nullptr, false);
        ASSERT_TRUE(error.is_object()) << answer;
        EXPECT_NE(error.at("error").at("message").get<std::string>().find(reason), std::string::npos) << answer;
    }

    void expect_alive() const { EXPECT_EQ(status_of(ask(kGet)), 200); }

    ServeLimits limits_;
    std::atomic<bool> held_{false};
    std::atomic<int> at_work_{0};  ///< requests that got so far
    std::atomic<int> last_status_{0};
    std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerLimits, AnswersAndKeepsTheConnection) {
    start();
    const RawClient client(server_->port());
    for (int i = 0; i < 3; ++i) {
        client.send("GET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n");
        EXPECT_EQ(status_of(client.read_until("\r\n\r\n0")), 200);
    }
    EXPECT_EQ(status_of(ask(post_text("/echo", R"({"a":1})"))), 200);
    EXPECT_EQ(last_status_, 200);
    expect_refused("GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, "no such path");
}

TEST_F(HttpServerLimits, RefusesBodiesThatAreTooLongBeforeReadingThem) {
    start({.body_bytes = 1000});
    expect_refused(
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: 1073741824\r\n\r\n",
        413, "expected 1000 at most");
    expect_refused(post_text("/echo", std::string(1001, ' ')), 413, "1001 bytes");
    EXPECT_EQ(status_of(ask(post_text("/echo", std::string(1000, ' ')))), 200);
    expect_refused(
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: 99999999999999999999\r\n\r\n",
        400, "no length");
    expect_alive();
}

TEST_F(HttpServerLimits, RefusesBodiesWithoutALengthAndCompressedOnes) {
    start();
    const std::string head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    expect_refused(head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 411, "Content-Length");
    expect_refused(head + "\r\n", 411, "Content-Length");
    expect_refused(head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400, "no length");
    expect_refused(head + "Content-Length: -1\r\n\r\n", 400, "no length");
    expect_refused(head + "Content-Length: 2\r\nContent-Encoding: gzip\r\n\r\n{}", 415, "compressed");
    expect_refused("GET /ping HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", 400, "only POST");
}

/// What was refused unread must not be taken for the next request.
TEST_F(HttpServerLimits, NothingIsReadAfterARefusal) {
    start({.body_bytes = 10});
    const std::string answer =
        ask("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Content-Length: 60\r\n\r\nGET /ping HTTP/1.1\r\nHost: localhost\r\n\r\n");
    EXPECT_EQ(status_of(answer), 413);
    EXPECT_EQ(answer.find("HTTP/1.1", 9), std::string::npos) << answer;
}

TEST_F(HttpServerLimits, BoundsHeaders) {
    start({.header_bytes = 4096});
    std::string many = "GET /ping HTTP/1.1\r\nHost: localhost\r\n";
    for (int i = 0; i < 1000; ++i) many += fmt::format("X-{}: y\r\n", i);
    EXPECT_EQ(status_of(ask(many + "\r\n")), 431);
    EXPECT_EQ(status_of(ask("GET /ping HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(1 << 20, 'x'))), 431);
    EXPECT_GE(status_of(ask("GET /" + std::string(1 << 20, 'x'))), 400);
    expect_alive();
}

TEST_F(HttpServerLimits, HeadersAndBodiesHaveDeadlines) {
    start({.header_time = std::chrono::milliseconds(300), .body_time = std::chrono::milliseconds(300)});
    RawClient slow(server_->port()), silent_body(server_->port());
    silent_body.send(
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: 100\r\n\r\n{");
    std::string answer;
    // A byte now and then keeps a deadline for single reads at bay, not one for the whole.
    for (int i = 0; i < 100 && answer.empty(); ++i) {
        slow.send("G");
        answer = slow.read(20);
    }
    EXPECT_EQ(status_of(answer), 408);
    EXPECT_EQ(status_of(silent_body.read()), 408);
    expect_alive();
}

TEST_F(HttpServerLimits, IdleConnectionsAreClosed) {
    start({.idle_time = std::chrono::milliseconds(100)});
    const RawClient idle(server_->port());
    EXPECT_EQ(idle.read(5000), "");
    for (int i = 0; i < 1000 && server_->connections() > 0; ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_EQ(server_->connections(), 0u);
}

TEST_F(HttpServerLimits, ConnectionsThatOnlyWaitGiveWay) {
    start({.connections = 4});
    std::vector<RawClient> waiting;
    for (int i = 0; i < 40; ++i) {
        waiting.emplace_back(server_->port());
        waiting.back().send("GET /ping HT");
    }
    for (int i = 0; i < 5; ++i) expect_alive();
}

TEST_F(HttpServerLimits, MoreConnectionsThanCanBeAtWorkAreTurnedAway) {
    start({.connections = 3});
    held_ = true;
    std::vector<RawClient> working;
    for (int i = 0; i < 3; ++i) {
        working.emplace_back(server_->port());
        working.back().send(kGet);
    }
    while (at_work_ < 3) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const std::string answer = ask("");
    EXPECT_EQ(status_of(answer), 503);
    EXPECT_NE(answer.find("Retry-After"), std::string::npos);
    held_ = false;
    for (const RawClient& client : working) EXPECT_EQ(status_of(client.read()), 200);
    expect_alive();
}

TEST_F(HttpServerLimits, KeyIsAskedForButForHealth) {
    start({}, "secret");
    const auto with = [](std::string_view header) {
        return fmt::format("GET /ping HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}\r\n", header);
    };
    EXPECT_EQ(status_of(ask(with("Authorization: Bearer secret\r\n"))), 200);
    for (const char* header : {"", "Authorization: Bearer secre\r\n", "Authorization: Bearer secret2\r\n",
                               "Authorization: secret\r\n", "Authorization: Bearer \r\n"})
        expect_refused(with(header), 401, "API key");
    EXPECT_EQ(status_of(ask("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")), 200);
    EXPECT_EQ(status_of(ask("GET /ping HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n"
                            "Authorization: Bearer secret\r\n\r\n")),
              200)
        << "whoever knows the key may come by any name";
}

/// A page of another site may send simple requests, and by DNS rebinding name this machine as its own.
TEST_F(HttpServerLimits, OtherSitesPagesAreRefused) {
    start();
    expect_refused("GET /ping HTTP/1.1\r\nHost: example.org\r\n\r\n", 403, "Host");
    expect_refused("GET /ping HTTP/1.1\r\n\r\n", 403, "Host");
    expect_refused("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
                   415, "application/json");
    for (const char* host : {"127.0.0.1", "127.0.0.1:8080", "localhost:1", "[::1]:80", "[::1]"})
        EXPECT_EQ(status_of(ask(fmt::format("GET /ping HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", host))), 200)
            << host;
}

TEST_F(HttpServerLimits, GarbageIsRefused) {
    start();
    for (const std::string& bytes :
         {std::string("\0\0\0\0\r\n\r\n", 8), std::string("GET\r\n\r\n"), std::string("GET /ping HTTP/9.9\r\n\r\n"),
          std::string("GET /ping HTTP/1.1\r\nno colon\r\n\r\n"),
          std::string("\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 11),
          "GET /ping HTTP/1.1\r\nHost: localhost\r\nRange: bytes=" + std::string(15'000, '0') + "\r\n\r\n"})
        EXPECT_NE(status_of(ask(bytes)), 0) << bytes;
    std::string ranges;
    for (int i = 0; i < 4000; ++i) ranges += "0-,";
    const std::string answer = ask("GET /ping HTTP/1.1\r\nHost: localhost\r\nRange: bytes=" + ranges + "0-\r\n\r\n");
    EXPECT_LT(answer.size(), 1000u) << "one copy";
    expect_alive();
}

TEST(HttpAccessRules, BeyondLoopbackOnlyWithAKey) {
    EXPECT_THROW(HttpServer({.host = "0.0.0.0", .port = 0}, ServeLimits{}), Error);
    EXPECT_NO_THROW(HttpServer({.host = "0.0.0.0", .port = 0, .api_key = "k"}, ServeLimits{}));
    for (const char* host : {"127.0.0.1", "127.9.9.9", "localhost", "::1"}) EXPECT_TRUE(is_loopback(host)) << host;
    for (const char* host : {"0.0.0.0", "::", "10.0.0.1", "127.0.0.1.example.org", "", "localhost.example.org"})
        EXPECT_FALSE(is_loopback(host)) << host;
}

TEST(HttpAccessRules, APortThatIsTakenIsAnError) {
    const HttpServer first({.port = 0}, ServeLimits{});
    EXPECT_THROW(HttpServer({.port = first.port()}, ServeLimits{}), Error);
}

}  // namespace
}  // namespace plasticity

#include "io/shard_index.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "core/error.h"
#include "io/file_bytes.h"
#include "io/safetensors_writer.h"

namespace plasticity {
namespace {

using test::expect_error;
using test::TempDir;
using test::write_bytes;

class ShardIndexTest : public ::testing::Test {
protected:
    void write_shard(const std::filesystem::path& path, const std::vector<std::string>& tensors) const {
        std::vector<SafetensorsSpec> specs;
        for (const std::string& name : tensors) specs.push_back({name, "U8", {1}});
        SafetensorsWriter writer(path, specs, Overwrite::kReplace);
        writer.write(std::vector<std::byte>(tensors.size()));
        writer.finish();
    }
    void write_index(const std::string& weight_map) const {
        write_bytes(dir_ / "model.safetensors.index.json",
                    R"({"metadata":{"total_size":2},"weight_map":)" + weight_map + "}");
    }
    void expect_malformed(const std::vector<std::string>& parts) const {
        expect_error(ErrorKind::kMalformed, parts, [&] { read_shard_index(dir_.path()); });
    }

    TempDir dir_;
};

TEST_F(ShardIndexTest, TakesALoneFile) {
    write_shard(dir_ / "model.safetensors", {"a"});
    const ShardIndex index = read_shard_index(dir_.path());
    EXPECT_EQ(index.shards, (std::vector<std::filesystem::path>{dir_ / "model.safetensors"}));
    EXPECT_TRUE(index.shard_of.empty());
}

TEST_F(ShardIndexTest, ReadsTheIndex) {
    write_shard(dir_ / "2.safetensors", {"a"});
    write_shard(dir_ / "1.safetensors", {"b", "c"});
    write_index(R"({"a":"2.safetensors","b":"1.safetensors","c":"1.safetensors"})");
    const ShardIndex index = read_shard_index(dir_.path());
    EXPECT_EQ(index.shards, (std::vector<std::filesystem::path>{dir_ / "1.safetensors", dir_ / "2.safetensors"}));
    EXPECT_EQ(index.shard_of, (std::map<std::string, std::size_t>{{"a", 1}, {"b", 0}, {"c", 0}}));
}

TEST_F(ShardIndexTest, FollowsTheLinksOfAHubCache) {
    const std::filesystem::path snapshot = dir_ / "snapshots" / "main";
    std::filesystem::create_directories(snapshot);
    std::filesystem::create_directories(dir_ / "blobs");
    write_shard(dir_ / "blobs" / "0123", {"a"});
    write_bytes(dir_ / "blobs" / "4567", R"({"weight_map":{"a":"m.safetensors"}})");
    std::filesystem::create_symlink("../../blobs/0123", snapshot / "m.safetensors");
    std::filesystem::create_symlink("../../blobs/4567", snapshot / "model.safetensors.index.json");
    EXPECT_EQ(read_shard_index(snapshot).shard_of.at("a"), 0u);
}

TEST_F(ShardIndexTest, MissingWeightsOrFolder) {
    expect_error(ErrorKind::kMissing, {"neither"}, [&] { read_shard_index(dir_.path()); });
    expect_error(ErrorKind::kMissing, {"absent"}, [&] { read_shard_index(dir_ / "absent"); });
}

TEST_F(ShardIndexTest, MissingShard) {
    write_index(R"({"a":"1.safetensors"})");
    expect_error(ErrorKind::kMissing, {"1.safetensors"}, [&] { read_shard_index(dir_.path()); });
}

TEST_F(ShardIndexTest, RefusesShardNamesThatLeaveTheFolder) {
    for (const char* name : {"../x.safetensors", "/etc/x.safetensors", "", "..", "sub/x.safetensors",
                             "a\\u0000.safetensors", "sub\\\\x.safetensors", "x.bin"}) {
        SCOPED_TRACE(name);
        write_index(R"({"tensor":")" + std::string(name) + "\"}");
        expect_malformed({"'tensor'", "plain name"});
    }
}

TEST_F(ShardIndexTest, RefusesAFifo) {
    ASSERT_EQ(mkfifo((dir_ / "1.safetensors").c_str(), 0600), 0);
    write_index(R"({"a":"1.safetensors"})");
    expect_malformed({"1.safetensors", "pipe"});
}

TEST_F(ShardIndexTest, RefusesATensorInTwoShards) {
    write_shard(dir_ / "1.safetensors", {"a"});
    write_shard(dir_ / "2.safetensors", {"a", "b"});
    write_index(R"({"a":"1.safetensors","b":"2.safetensors"})");
    expect_malformed({"'a'", "two shards", "1.safetensors", "2.safetensors"});
}

TEST_F(ShardIndexTest, RefusesATensorNamedTwice) {
    write_index(R"({"a":"1.safetensors","a":"2.safetensors"})");
    expect_malformed({"'a'", "twice"});
}

TEST_F(ShardIndexTest, RefusesATensorInNoShardOrAnother) {
    write_shard(dir_ / "1.safetensors", {"a"});
    write_shard(dir_ / "2.safetensors", {"b"});
    write_index(R"({"a":"2.safetensors","b":"2.safetensors","c":"1.safetensors"})");
    expect_malformed({"2 problems", "'a'", "found in 1.safetensors", "'c'", "found in none"});
}

TEST_F(ShardIndexTest, RefusesIndexesOfAnotherForm) {
    for (const char* text :
         {"", "[]", "{}", R"({"weight_map":[]})", R"({"weight_map":{}})", R"({"weight_map":{"a":1}})"}) {
        SCOPED_TRACE(text);
        write_bytes(dir_ / "model.safetensors.index.json", text);
        expect_malformed({"model.safetensors.index.json"});
    }
}

}  // namespace
}  // namespace plasticity

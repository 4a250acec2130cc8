#include <gtest/gtest.h>

#include "parse.h"
#include "parse_channel.h"
#include "parse_disk.h"
#include "parse_share.h"
#include "parse_vsock.h"
#include "suggest.h"

namespace vireo::app {
namespace {

std::string message(const auto& result) { return result ? "fine" : result.error().message; }

TEST(ParseSize, TakesTheUnitsThatPeopleWrite) {
  EXPECT_EQ(parse_size("--memory", "256M").value(), 256ull << 20);
  EXPECT_EQ(parse_size("--memory", "2g").value(), 2ull << 30);
  EXPECT_EQ(parse_size("--memory", "64KiB").value(), 64ull << 10);
  EXPECT_EQ(parse_size("--memory", "1TB").value(), 1ull << 40);
}

TEST(ParseSize, RefusesWhatIsNoSize) {
  EXPECT_EQ(message(parse_size("--memory", "512")),
            "--memory needs a unit: 512M or 512G, for example");
  for (const char* text : {"", "M", "x", "-1M", "1.5G", "1Q", "1Mi", "1MBB", "1 M", "99999999999T",
                           "99999999999999999999999M"}) {
    EXPECT_FALSE(parse_size("--memory", text)) << text;
  }
}

TEST(ParseSeconds, TakesFractionsAndNothingElse) {
  EXPECT_DOUBLE_EQ(parse_seconds("--timeout", "0.5").value(), 0.5);
  EXPECT_DOUBLE_EQ(parse_seconds("--timeout", "10s").value(), 10);
  for (const char* text : {"", "0", "-1", "nan", "inf", "1m", "1e99", "x"}) {
    EXPECT_FALSE(parse_seconds("--timeout", text)) << text;
  }
}

TEST(ParseCount, BeginsAtOne) {
  EXPECT_EQ(parse_count("--cpus", "4").value(), 4u);
  for (const char* text : {"", "0", "-1", "2x", "99999999999"}) {
    EXPECT_FALSE(parse_count("--cpus", text)) << text;
  }
}

TEST(ParseDisk, TakesAFileAndWhatFollowsIt) {
  const auto plain = parse_disk("disk.img").value();
  EXPECT_EQ(plain.path, "disk.img");
  EXPECT_EQ(plain.format, "");
  EXPECT_EQ(plain.interface, "virtio");
  EXPECT_FALSE(plain.read_only || plain.discard_changes || plain.bypass_cache);
  const auto all = parse_disk("/a b/c,discard-changes,format=qcow2,readonly,interface=ide").value();
  EXPECT_EQ(all.path, "/a b/c");
  EXPECT_EQ(all.format, "qcow2");
  EXPECT_EQ(all.interface, "ide");
  EXPECT_TRUE(all.read_only && all.discard_changes);
  EXPECT_TRUE(parse_disk("a,cache=none").value().bypass_cache);
  EXPECT_FALSE(parse_disk("a,cache=writeback").value().bypass_cache);
  EXPECT_FALSE(parse_disk("a,cache=unsafe"));
}

TEST(ParseShare, TakesAFolderATagAndReadonly) {
  const auto plain = parse_share("/srv/data=files").value();
  EXPECT_EQ(plain.path, "/srv/data");
  EXPECT_EQ(plain.tag, "files");
  EXPECT_FALSE(plain.read_only);
  const auto odd = parse_share("/a=b,c=tag,readonly").value();
  EXPECT_EQ(odd.path, "/a=b,c");
  EXPECT_EQ(odd.tag, "tag");
  EXPECT_TRUE(odd.read_only);
  for (const char* text : {"", "/srv", "=tag", "/srv=", "/srv=,readonly", "/srv=tag,read-only"})
    EXPECT_FALSE(parse_share(text)) << text;
}

TEST(ParseVsock, TakesAFolderAndAnAddress) {
  const auto plain = parse_vsock("dir=/run/vm").value();
  EXPECT_EQ(plain.folder, "/run/vm");
  EXPECT_EQ(plain.cid, 3u);
  const auto both = parse_vsock("cid=4294967294,dir=sockets").value();
  EXPECT_EQ(both.folder, "sockets");
  EXPECT_EQ(both.cid, 4294967294u);
  EXPECT_EQ(parse_vsock("dir=a,b,cid=7").value().folder, "a,b");
  for (const char* text : {"", "cid=5", "dir=", "dir=x,cid=2", "dir=x,cid=4294967295",
                           "dir=x,cid=x", "cid=3 dir=x", "cid=-1,dir=x", "cid=99999999999,dir=x"})
    EXPECT_FALSE(parse_vsock(text)) << text;
}

TEST(ParseChannel, TakesANameAndAPlace) {
  const auto channel = parse_channel("org.agent.0=unix:/run/a=b").value();
  EXPECT_EQ(channel.name, "org.agent.0");
  EXPECT_EQ(channel.backend, "unix:/run/a=b");
  for (const char* text : {"", "name", "=unix:x", "name=", "a/b=unix:x"})
    EXPECT_FALSE(parse_channel(text)) << text;
}

TEST(ParseDisk, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(message(parse_disk("a,format=vmdk")),
            "--disk takes format=raw or format=qcow2, not 'format=vmdk'");
  for (const char* text : {"", ",readonly", "a,read-only", "a,format", "a,interface=scsi", "a,,"}) {
    EXPECT_FALSE(parse_disk(text)) << text;
  }
}

TEST(Closest, FindsSlipsOfTheFingerAndBeginnings) {
  const std::vector<std::string> known{"--kernel", "--initrd", "--memory", "--timeout"};
  EXPECT_EQ(closest("--kernl", known), "--kernel");
  EXPECT_EQ(closest("--memry=5", known), "--memory");
  EXPECT_EQ(closest("--time", known), "--timeout");
  EXPECT_EQ(closest("--flux-capacitor", known), std::nullopt);
}

}  // namespace
}  // namespace vireo::app

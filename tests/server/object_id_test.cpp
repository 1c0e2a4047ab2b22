#include "server/object_id.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace sluice::server {
namespace {

TEST(ObjectId, HasItsPrefixAndIsNeverTheSame) {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = new_object_id("file-");
    EXPECT_TRUE(is_object_id(id, "file-")) << id;
    ids.insert(id);
  }
  EXPECT_EQ(ids.size(), 1000U);
}

TEST(ObjectId, NothingElseIsOne) {
  const std::string good = "file-ABCDEFGHIJKLMNOPQRSTUVWX";
  ASSERT_TRUE(is_object_id(good, "file-"));
  for (const std::string& text :
       {std::string(), std::string("file-"), good + "Y", good.substr(0, good.size() - 1),
        std::string("file-../../../../etc/passwd"), std::string("file-ABCDEFGHIJKLMNOPQRSTUVW/"),
        std::string("file-ABCDEFGHIJKLMNOPQRSTUVW."), "batch_" + good.substr(5),
        std::string("file-ABCDEFGHIJKLMNOPQRSTUVW\0", 29)}) {
    EXPECT_FALSE(is_object_id(text, "file-")) << text;
  }
}

}  // namespace
}  // namespace sluice::server

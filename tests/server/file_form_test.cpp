#include "server/file_form.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sluice::server {
namespace {

struct part {
  std::string name;
  std::optional<std::string> filename;
  std::string content;
};

std::string body_of(const std::vector<part>& parts) {
  std::string text;
  for (const auto& [name, filename, content] : parts) {
    text += "--frontier\r\nContent-Disposition: form-data; name=\"" + name + "\"";
    if (filename) text += "; filename=\"" + *filename + "\"";
    text += "\r\n\r\n" + content + "\r\n";
  }
  return text + "--frontier--\r\n";
}

struct file_forms : testing::Test {
  // Reads the form in pieces. Returns the error if the form is refused.
  std::optional<api_error> read(file_form& form, const std::string& body, std::size_t piece = 7) {
    for (std::size_t i = 0; i < body.size(); i += piece) {
      if (auto refusal = form.feed(std::string_view(body).substr(i, piece))) return refusal;
      content += form.take_bytes();
    }
    auto refusal = form.finish();
    content += form.take_bytes();
    return refusal;
  }
  std::optional<api_error> read(const std::vector<part>& parts) {
    file_form form("frontier", limits);
    return read(form, body_of(parts));
  }

  file_limits limits;
  std::string content;
};

const part batch_purpose{"purpose", {}, "batch"};
const part small_file{"file", "in.jsonl", "{}\n"};

TEST_F(file_forms, TheFileAndItsFieldsAreReadInAnyOrderAndAnyPieces) {
  const std::string bytes = "line one\r\nline two\r\n--front\r\n";
  for (const bool file_first : {true, false}) {
    std::vector<part> parts{{"file", "in.jsonl", bytes},
                            batch_purpose,
                            {"expires_after[anchor]", {}, "created_at"},
                            {"expires_after[seconds]", {}, "3600"}};
    if (!file_first) std::swap(parts[0], parts[3]);
    for (std::size_t piece = 1; piece < 80; ++piece) {
      file_form form("frontier", limits);
      content.clear();
      ASSERT_FALSE(read(form, body_of(parts), piece));
      EXPECT_EQ(content, bytes);
      EXPECT_EQ(form.size(), bytes.size());
      EXPECT_EQ(form.filename(), "in.jsonl");
      EXPECT_EQ(form.purpose(), "batch");
      EXPECT_EQ(form.expires_after_s(), 3600);
    }
  }
}

TEST_F(file_forms, WhatIsMissingIsNamed) {
  EXPECT_EQ(read({batch_purpose})->param, "file");
  EXPECT_EQ(read({small_file})->param, "purpose");
  EXPECT_EQ(read({{"file", "", "{}"}, batch_purpose})->param, "file");
}

TEST_F(file_forms, APurposeThatDoesNotExistIsRefused) {
  EXPECT_EQ(read({small_file, {"purpose", {}, "batch_output"}})->param, "purpose");
  EXPECT_FALSE(read({small_file, {"purpose", {}, "user_data"}}));
}

TEST_F(file_forms, ABatchFileMustBeNamedJsonl) {
  const auto why = read({{"file", "in.csv", "a,b"}, batch_purpose});
  ASSERT_TRUE(why);
  EXPECT_EQ(why->message, "Invalid file format for Batch API. Must be .jsonl");
  EXPECT_EQ(why->status, 400);
  EXPECT_FALSE(read({{"file", "in.csv", "a,b"}, {"purpose", {}, "user_data"}}));
}

TEST_F(file_forms, ANameThatIsTooLongIsRefusedForThatReason) {
  const auto named = [&](const std::string& name) {
    return read({{"purpose", {}, "user_data"}, {"file", name, "x"}});
  };
  EXPECT_FALSE(named(std::string(1024, 'n')));
  // Each invalid byte becomes a character of three bytes.
  for (const auto& name : {std::string(1025, 'n'), std::string(600, '\xff')}) {
    const auto why = named(name);
    ASSERT_TRUE(why);
    EXPECT_EQ(why->param, "file");
    EXPECT_NE(why->message.find("1024 bytes"), std::string::npos) << why->message;
    EXPECT_EQ(why->message.find("nnn"), std::string::npos);
  }
}

TEST_F(file_forms, AFileThatIsTooLargeIsRefusedWhileItArrives) {
  limits = {100, 50};
  const part sixty{"file", "in.jsonl", std::string(60, 'x')};
  EXPECT_EQ(read({sixty, batch_purpose})->status, 413);
  EXPECT_FALSE(read({sixty, {"purpose", {}, "user_data"}}));
  file_form form("frontier", limits);
  const std::string body = body_of({{"file", "in.jsonl", std::string(5000, 'x')}});
  std::optional<api_error> refusal;
  std::size_t fed = 0;
  for (; !refusal && fed < body.size(); fed += 10) refusal = form.feed(body.substr(fed, 10));
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->status, 413);
  EXPECT_LT(fed, 300U);
  EXPECT_LE(form.take_bytes().size(), 100U);
}

TEST_F(file_forms, AnExpiryMustBeWhole) {
  const auto expiry = [&](const std::string& anchor, const std::string& seconds) {
    return read({small_file,
                 batch_purpose,
                 {"expires_after[anchor]", {}, anchor},
                 {"expires_after[seconds]", {}, seconds}});
  };
  EXPECT_FALSE(expiry("created_at", "2592000"));
  for (const auto& [anchor, seconds] :
       std::vector<std::pair<std::string, std::string>>{{"created_at", "3599"},
                                                        {"created_at", "2592001"},
                                                        {"created_at", "x"},
                                                        {"created_at", "3600.5"},
                                                        {"now", "3600"},
                                                        {"created_at", ""},
                                                        {"", "3600"}}) {
    const auto why = expiry(anchor, seconds);
    ASSERT_TRUE(why) << anchor << " " << seconds;
    EXPECT_EQ(why->param, "expires_after");
  }
}

TEST_F(file_forms, AFieldThatIsTooLongIsRefusedWithoutBeingKept) {
  EXPECT_EQ(read({small_file, {"purpose", {}, std::string(100'000, 'p')}})->status, 400);
}

TEST_F(file_forms, ABodyThatEndsEarlyIsRefused) {
  const std::string body = body_of({small_file, batch_purpose});
  for (std::size_t length = 0; length + 4 < body.size(); ++length) {
    file_form form("frontier", limits);
    const auto why = read(form, body.substr(0, length), 16);
    ASSERT_TRUE(why) << length;
    EXPECT_EQ(why->status, 400);
  }
}

}  // namespace
}  // namespace sluice::server

#include "files/decompressor.hpp"

#include <gmock/gmock.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <string>

#include "http/content_decoder.hpp"

namespace sluice {
namespace {

std::string deflated(const std::string& text, int window) {
  z_stream deflater{};
  deflateInit2(&deflater, Z_BEST_COMPRESSION, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&deflater, text.size()) + 32, '\0');
  deflater.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  deflater.avail_in = static_cast<uInt>(text.size());
  deflater.next_out = reinterpret_cast<Bytef*>(packed.data());
  deflater.avail_out = static_cast<uInt>(packed.size());
  deflate(&deflater, Z_FINISH);
  packed.resize(deflater.total_out);
  deflateEnd(&deflater);
  return packed;
}
std::string gzip(const std::string& text) {
  return deflated(text, 15 + 16);
}
std::string zstd(const std::string& text) {
  std::string packed(ZSTD_compressBound(text.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 3));
  return packed;
}

// Unpacks with input pieces of one size and output pieces of another.
std::string unpacked(decompressor& format, std::string_view packed, std::size_t piece,
                     std::size_t room) {
  std::string text;
  std::string out(room, '\0');
  while (!packed.empty()) {
    std::string_view input = packed.substr(0, piece);
    packed.remove_prefix(input.size());
    while (const std::size_t n = format.step(input, out.data(), out.size())) {
      text.append(out, 0, n);
    }
    EXPECT_TRUE(input.empty());
  }
  return text;
}

TEST(decompressor, unpacks_gzip_zlib_and_zstd_in_pieces_of_any_size) {
  std::string text = "a line of text that comes again\n";
  while (text.size() < 300'000) text += text + std::to_string(text.size());
  for (const std::size_t piece : {1U, 7U, 4096U, 1U << 20}) {
    for (const std::size_t room : {1U << 10, 1U << 14}) {
      EXPECT_EQ(unpacked(*make_gzip_decompressor(), gzip(text), piece, room), text) << piece;
      EXPECT_EQ(unpacked(*make_gzip_decompressor(), deflated(text, 15), piece, room), text)
          << piece;
      EXPECT_EQ(unpacked(*make_zstd_decompressor(), zstd(text), piece, room), text) << piece;
    }
  }
}

TEST(decompressor, knows_whether_the_data_is_complete) {
  const auto check = [](std::unique_ptr<decompressor> format, const std::string& packed) {
    EXPECT_FALSE(format->inside());
    unpacked(*format, packed.substr(0, packed.size() - 1), 16, 64);
    EXPECT_TRUE(format->inside());
    EXPECT_EQ(unpacked(*format, packed.substr(packed.size() - 1), 16, 64).size(), 0U);
    EXPECT_FALSE(format->inside());
    EXPECT_EQ(unpacked(*format, packed, 16, 64), "once more") << "a second member";
    EXPECT_FALSE(format->inside());
  };
  check(make_gzip_decompressor(), gzip("once more"));
  ZSTD_CCtx* context = ZSTD_createCCtx();  // with a checksum, so that the last byte is not text
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  std::array<char, 128> packed{};
  const std::size_t size = ZSTD_compress2(context, packed.data(), packed.size(), "once more", 9);
  ZSTD_freeCCtx(context);
  check(make_zstd_decompressor(), std::string(packed.data(), size));
}

TEST(decompressor, refuses_data_in_no_known_format) {
  std::array<char, 64> out{};
  for (const std::string& text :
       {std::string("<html>no such thing"), std::string("\x1f\x8b!!!!")}) {
    std::string_view input = text;
    EXPECT_THROW(make_gzip_decompressor()->step(input, out.data(), out.size()), bad_compression);
    input = text;
    EXPECT_THROW(make_zstd_decompressor()->step(input, out.data(), out.size()), bad_compression);
  }
}

// Decodes a body with the Content-Encoding `names`, in pieces of one size. With `bypass`, pieces of
// a plain body do not go through the decoder.
std::string decoded(std::string_view names, std::string_view body, std::size_t piece, bool bypass) {
  content_decoder decoder;
  if (!names.empty()) decoder.add(names);
  std::string text;
  const auto take = [&] {
    while (decoder.may_have_more()) text += decoder.read();
  };
  try {
    for (; !body.empty(); body.remove_prefix(std::min(piece, body.size()))) {
      const std::string_view next = body.substr(0, piece);
      if (bypass && decoder.is_plain(next)) {
        text += next;
      } else {
        decoder.put(next);
        take();
      }
    }
    decoder.finish();
    take();
  } catch (const bad_compression& fault) {
    return fault.what();
  }
  return text;
}

std::string decoded(std::string_view names, std::string_view body, std::size_t piece) {
  std::string text = decoded(names, body, piece, true);
  EXPECT_EQ(decoded(names, body, piece, false), text) << names << ", pieces of " << piece;
  return text;
}

TEST(content_decoder, only_a_plain_body_can_bypass_it) {
  const auto bypasses = [](std::string_view names, std::string_view first) {
    content_decoder decoder;
    if (!names.empty()) decoder.add(names);
    return decoder.is_plain(first);
  };
  EXPECT_TRUE(bypasses("", R"({"id":"x"})"));
  EXPECT_TRUE(bypasses("gzip", R"({"id":"x"})")) << "a proxy has removed the encoding";
  EXPECT_FALSE(bypasses("", gzip("{}")));
  EXPECT_FALSE(bypasses("", zstd("{}")));
  EXPECT_FALSE(bypasses("", "{}")) << "too short to tell";
  EXPECT_THROW(bypasses("br", "\x0b\x02\x80{}\x03"), bad_compression);
  content_decoder waiting;
  waiting.put("{");
  EXPECT_FALSE(waiting.is_plain("}   ")) << "the first byte was not read yet";
}

TEST(content_decoder, trusts_the_bytes_more_than_the_header) {
  const std::string json =
      R"({"id":"x","choices":[{"index":0,"message":{"content":"hello hello"}}]})";
  const std::string sse = "data: {\"id\":1}\n\ndata: [DONE]\n\n";
  const struct {
    const char* names;
    std::string body;
    std::string text;
  } rows[] = {
      {"gzip", gzip(json), json},
      {"GZip", gzip(json), json},
      {"x-gzip", gzip(json), json},
      {"deflate", deflated(json, 15), json},
      {"deflate", deflated(json, -15), json},  // without zlib's header
      {"zstd", zstd(json), json},
      {"gzip, identity", gzip(json), json},
      {"identity, gzip", gzip(json), json},
      {"identity,,gzip ", gzip(json), json},
      {"\"gzip\"", gzip(json), json},
      {"gzip, zstd", zstd(gzip(json)), json},
      {"gzip, gzip", gzip(gzip(json)), json},
      {"gzip, gzip", gzip(json), json},  // two relays have each added the name
      {"identity", json, json},
      {"none", json, json},
      {"UTF-8", json, json},
      {"utf8", sse, sse},
      {"text", json, json},
      {"", json, json},
      {" ", json, json},
      {"br", json, json},  // unpacked by a proxy that kept the header
      {"gzip", json, json},
      {"gzip", sse, sse},
      {"gzip", ": PING\n\n" + sse, ": PING\n\n" + sse},
      {"gzip", "event: x\n" + sse, "event: x\n" + sse},
      {"gzip", "\n " + json, "\n " + json},
      {"gzip", "\xEF\xBB\xBF" + json, "\xEF\xBB\xBF" + json},
      {"gzip", "<html>busy</html>", "<html>busy</html>"},
      {"gzip", "[]", "[]"},
      {"gzip", "", ""},
      {"deflate", json, json},
      {"zstd", json, json},
      {"x-secret", json, json},
      {"none", gzip(json), json},
      {"UTF-8", zstd(json), json},
      {"", gzip(json), json},
      {"", zstd(json), json},
      {"gzip", zstd(json), json},
      {"zstd", gzip(json), json},
      {"gzip", deflated(json, 15), json},
      {"br", gzip(json), json},
      {"", "x^2", "x^2"},  // zlib only if the header names it
      {"", "no JSON at all", "no JSON at all"},
      {"none", "no JSON at all", "no JSON at all"},
      {"br", "\x8b\x05\x80nonsense\x03", "has an encoding that was not requested: br"},
      {"gzip", "\x8b\x05\x80nonsense\x03", "is not valid gzip"},
      {"zstd", "\x8b\x05\x80nonsense\x03", "is not valid zstd"},
      {"deflate", std::string("\xff\xff\xff\xff", 4), "is not valid deflate"},
  };
  for (const auto& row : rows) {
    for (const std::size_t piece : {1U, 3U, 7U, 1U << 20}) {
      EXPECT_EQ(decoded(row.names, row.body, piece), row.text) << row.names << " " << piece;
    }
  }
}

TEST(content_decoder, unpacks_only_as_much_as_is_read) {
  content_decoder decoder;
  decoder.add("gzip, gzip");
  const std::string packed = gzip(gzip(std::string(20'000'000, 'x')));
  decoder.put(packed);
  EXPECT_LE(decoder.memory(), packed.size() + 16);
  std::size_t size = 0;
  for (int pieces = 0; pieces < 100; ++pieces) size += decoder.read().size();
  EXPECT_GT(size, 1'000'000U);
  EXPECT_LT(decoder.memory(), packed.size() + 256 * 1024);
  decoder.finish();
  while (decoder.may_have_more()) size += decoder.read().size();
  EXPECT_EQ(size, 20'000'000U);
}

TEST(content_decoder, too_many_layers_are_refused) {
  EXPECT_EQ(decoded("gzip,gzip,gzip,gzip,gzip,gzip", gzip("{}"), 1 << 20),
            "is compressed too many times");
}

// A frame names the window size that its decoder needs, which may be gigabytes.
TEST(content_decoder, a_window_larger_than_the_web_allows_is_refused) {
  const auto frame = [](int window) {
    std::string bytes = "\x28\xb5\x2f\xfd";
    bytes += '\0';
    bytes += static_cast<char>((window - 10) << 3);
    return bytes + std::string("\x11\x00\x00{}", 5);
  };
  EXPECT_EQ(decoded("zstd", frame(23), 1 << 20), "{}");
  EXPECT_EQ(decoded("zstd", frame(24), 1 << 20), "is not valid zstd");
}

}  // namespace
}  // namespace sluice

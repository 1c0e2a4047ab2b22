#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "files/line_reader.hpp"
#include "fuzz/support.hpp"
#include "jobs/job_kind.hpp"
#include "jobs/job_line.hpp"
#include "json/members.hpp"
#include "json/text.hpp"
#include "money/cost_bound.hpp"
#include "support/temp_dir.hpp"

namespace sluice::fuzz {
namespace {

using json = nlohmann::json;

/// Bytes in memory, returned in pieces. A small buffer gets only the start of a piece.
class pieces final : public byte_source {
 public:
  pieces(std::string_view bytes, std::vector<std::size_t> cuts)
      : bytes_(bytes), cuts_(std::move(cuts)) {}

  std::size_t read(char* into, std::size_t size) override {
    while (next_ < cuts_.size() && cuts_[next_] <= at_) ++next_;
    const std::size_t end = next_ < cuts_.size() ? cuts_[next_] : bytes_.size();
    const std::size_t count = std::min(size, end - at_);
    bytes_.copy(into, count, at_);
    at_ += count;
    return count;
  }

 private:
  std::string_view bytes_;
  std::vector<std::size_t> cuts_;
  std::size_t at_ = 0;
  std::size_t next_ = 0;
};

/// Reads only the start of a file, because a few packed bytes may unpack to a very large size.
class bounded final : public byte_source {
 public:
  explicit bounded(std::unique_ptr<byte_source> bytes) : bytes_(std::move(bytes)) {}
  std::size_t read(char* into, std::size_t size) override {
    const std::size_t count = bytes_->read(into, std::min(size, left_));
    left_ -= count;
    return count;
  }

 private:
  std::unique_ptr<byte_source> bytes_;
  std::size_t left_ = std::size_t{1} << 20;
};

struct line {
  std::uint64_t number = 0;
  std::optional<std::string> text;  ///< unset: the line is too long
  friend bool operator==(const line&, const line&) = default;
};

std::vector<line> read(std::unique_ptr<byte_source> bytes, std::uint64_t longest) {
  line_reader reader(std::move(bytes), longest);
  std::vector<line> lines;
  for (line_reader::line each; reader.next(each);) {
    lines.push_back(
        {each.number, each.too_long ? std::nullopt : std::optional(std::string(each.text))});
  }
  return lines;
}

/// A simple implementation that splits a whole text into lines.
std::vector<line> cut_plainly(std::string_view text, std::uint64_t longest) {
  std::vector<line> lines;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  for (std::uint64_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view each = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (each.ends_with('\r')) each.remove_suffix(1);
    if (each.size() > longest) {
      lines.push_back({number, std::nullopt});
    } else if (each.find_first_not_of(" \t\r") != std::string_view::npos) {
      lines.push_back({number, std::string(each)});
    }
  }
  return lines;
}

std::string gzipped(std::string_view text) {
  z_stream deflater{};
  constexpr int gzip_window = 15 + 16;
  require(deflateInit2(&deflater, 1, Z_DEFLATED, gzip_window, 8, Z_DEFAULT_STRATEGY) == Z_OK,
          "zlib starts");
  std::string out(deflateBound(&deflater, static_cast<uLong>(text.size())), '\0');
  deflater.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  deflater.avail_in = static_cast<uInt>(text.size());
  deflater.next_out = reinterpret_cast<Bytef*>(out.data());
  deflater.avail_out = static_cast<uInt>(out.size());
  require(deflate(&deflater, Z_FINISH) == Z_STREAM_END, "zlib packs");
  out.resize(out.size() - deflater.avail_out);
  deflateEnd(&deflater);
  return out;
}

std::string zstd_packed(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 1));
  return out;
}

std::string in_file(std::string_view name, std::string_view content) {
  static const test::temp_dir dir;
  return dir.write(name, content);
}

/// A packed job must have the same lines. Any other bytes in a file with such a name must give
/// lines or be refused.
void check_packed(std::string_view text, unsigned kind) {
  if (kind == 1) {
    const auto plain = cut_plainly(text, text.size());
    const std::size_t half = text.size() / 2;
    const std::string members = gzipped(text.substr(0, half)) + gzipped(text.substr(half));
    require(
        read(open_bytes(in_file("job.gz", members + std::string(3, '\0'))), text.size()) == plain,
        "gzip has the same lines");
    require(read(open_bytes(in_file("job.zst", zstd_packed(text))), text.size()) == plain,
            "zstd has the same lines");
    require(read(open_bytes(in_file("job", text)), text.size()) == plain,
            "a file has the same lines");
    return;
  }
  try {
    const std::string path = in_file(kind == 2 ? "job.gz" : "job.zst", text);
    static_cast<void>(read(std::make_unique<bounded>(open_bytes(path)), 1000));
  } catch (const fatal_error& refused) {
    require(refused.why() == fatal_error::kind::cannot_start && is_one_line(refused.what()),
            "a bad file is refused in one sentence", refused.what());
  }
}

json parsed(std::string_view text) {
  return json::parse(without_lone_surrogates(std::string(text)));
}

json said_by(std::string_view role, const std::string& content) {
  return {{"role", role}, {"content", content}};
}

/// Checks the body of a request against its line with another JSON parser.
void check_body(const json& line, const request& made, const job_options& options) {
  const bool batch = line.contains("body");
  json before = batch ? line["body"] : line;
  json after = parsed(made.body);
  require(after.is_object(), "a body is an object", made.body);
  require(after.value("model", json()) == made.model, "the body names the model", made.body);
  if (options.override_model && !options.model.empty()) {
    require(made.model == options.model, "--override-model sets the model", made.body);
  } else if (before.contains("model") && before["model"] != nullptr && before["model"] != "") {
    require(before["model"] == made.model, "the line's own model is kept", made.body);
  }
  if (!batch) before.erase("custom_id");

  const bool streams = made.target != endpoint::embeddings;
  if (before.contains("stream") || !streams || !options.stream) {
    require(after.value("stream", json()) == before.value("stream", json()),
            "a line's own stream stands", made.body);
  } else {
    require(after.value("stream", json()) == true, "the body requests a stream", made.body);
  }
  require(made.streamed == (streams && after.value("stream", json()) == true),
          "the body decides whether the reply is a stream", made.body);
  const bool converted =
      !batch && before.contains("prompt") && made.target == endpoint::chat_completions;
  if (converted) {
    require(before["prompt"].is_string() && !before.contains("messages"), "a prompt is a string");
    before["messages"] = json::array({said_by("user", before["prompt"])});
    before.erase("prompt");
  }
  // A system message is added before the others, and only if there is none.
  if (after.value("messages", json()) != before.value("messages", json())) {
    require(!options.system.empty() && made.target == endpoint::chat_completions,
            "messages are left alone", made.body);
    before["messages"].insert(before["messages"].begin(), said_by("system", options.system));
    require(after["messages"] == before["messages"], "a system message comes first", made.body);
  }
  if (made.target == endpoint::responses && !options.system.empty() &&
      !before.contains("instructions")) {
    before["instructions"] = options.system;
  }
  const bool with_options = options.stream && options.include_usage && made.streamed &&
                            made.target != endpoint::responses;
  if (with_options && !before.contains("stream_options")) {
    before["stream_options"] = {{"include_usage", true}};
  }
  for (const char* name : {"model", "stream"}) {
    before.erase(name);
    after.erase(name);
  }
  require(before == after, "everything else is unchanged", before.dump() + '\n' + after.dump());
}

/// If members are only added at the end, all other bytes of the body must be those of the line.
void check_bytes(std::string_view line, const json& parsed_line, const request& made,
                 const job_options& options) {
  if (!parsed_line.contains("body") || !options.system.empty() || options.override_model) return;
  const json& body = parsed_line["body"];
  const bool named = body.contains("model");
  if (named && (body["model"] == nullptr || body["model"] == "")) return;
  std::string start = made.body;
  require(start.ends_with('}'), "a body ends with its bracket", start);
  start.pop_back();
  const auto drop = [&](std::string_view end) {
    if (start.ends_with(end)) start.resize(start.size() - end.size());
  };
  if (!body.contains("stream_options")) drop(R"("stream_options":{"include_usage":true})");
  if (!body.contains("stream_options")) drop(",");
  if (!body.contains("stream")) drop(R"("stream":true)");
  if (!body.contains("stream")) drop(",");
  if (!named) drop("\"model\":" + json_quote(made.model));
  if (!named) drop(",");
  require(line.find(start) != std::string_view::npos, "a body keeps its bytes",
          start + '\n' + made.body);
}

void check_id(const json& line, const request& made) {
  const auto id = line.find("custom_id");
  if (id == line.end() || id->is_null()) {
    require(made.custom_id == "line-" + std::to_string(made.line),
            "an id is made from the line number");
  } else if (id->is_number()) {
    require(parsed(made.custom_id) == *id, "a number is accepted as the id", made.custom_id);
  } else {
    std::string quoted;
    append_json_wtf8(quoted, made.custom_id);
    require(json_string_wtf8(quoted) == made.custom_id, "an id survives quoting", quoted);
    require(parsed(quoted) == *id, "the id is the one in the line", quoted);
  }
}

/// The cost bound of a body must not be below the cost that any reader finds in it. The reader in
/// this check uses the last of two members with the same name.
void check_bound(const request& made) {
  constexpr std::int64_t other = 100;
  const auto bound = bound_tokens(made, "gpt-4o", other, {});
  require(!named_models(made).empty() && named_models(made).front() == made.model,
          "the models begin with the request's own", made.body);
  if (!bound) {
    require(!bound.error().empty() && is_utf8(bound.error()), "a missing bound has a reason",
            bound.error());
    return;
  }
  require(bound_prompt(made, bound->prompt) >= 0 && bound->prompt >= 0, "no prompt is negative",
          made.body);
  if (made.target == endpoint::embeddings) return;
  const json body = parsed(made.body);
  const char* name = made.target == endpoint::responses ? "max_output_tokens" : "max_tokens";
  const auto limit = body.find(name);
  const bool has_limit = limit != body.end() && limit->is_number_integer();
  if (has_limit && *limit > 1'000'000) return;
  require(bound->completion >= (has_limit ? limit->get<std::int64_t>() : 1) * made.choices,
          "a reply ends within its bound", made.body);
}

void check_line(const std::string& text, std::uint64_t number, const job_options& options) {
  const auto fault = json_fault(text);
  const std::string mended = without_lone_surrogates(text);
  require(mended.size() == text.size(), "a repaired text has the same length", text);
  const verdict peer = peer_verdict(mended);
  require(peer == verdict::undecided || (peer == verdict::invalid) == fault.has_value(),
          "two parsers agree on what is JSON", text + '\n' + fault.value_or("valid"));
  require(!fault || is_one_line(*fault), "the message of a fault is one line", fault.value_or(""));
  require(is_utf8(valid_utf8(text)) && (!is_utf8(text) || valid_utf8(text) == text),
          "valid_utf8 mends what it must", text);
  if (peer != verdict::undecided) {
    require(json::parse(json_quote(text)) == valid_utf8(text), "a quoted text has the same value",
            text);
  }

  const auto made = parse_job_line(text, number, options);
  if (!made) {
    const bad_line& bad = made.error();
    require(bad.line == number, "a bad line has its number");
    require((bad.code == errc::invalid_json_line) == fault.has_value(),
            "text that is not JSON has its own code", text + '\n' + bad.message);
    require(!bad.message.empty() && is_utf8(bad.message), "a bad line has a message", bad.message);
    return;
  }
  require(!fault, "only JSON is accepted", text);
  require(made->line == number && made->digest.size() == 32 && made->choices > 0 &&
              !made->model.empty(),
          "a request is whole", text);
  require(!json_fault(made->body), "a body is JSON", made->body);
  const std::string compact = json_compact(made->body);
  require(!json_fault(compact) && compact.find_first_of("\r\n") == std::string::npos,
          "compact JSON is JSON in one line", compact);
  if (peer == verdict::undecided) return;
  require(parsed(compact) == parsed(made->body), "compact JSON has the same value", compact);
  const json line = parsed(text);
  check_id(line, *made);
  check_body(line, *made, options);
  check_bound(*made);
  check_bytes(text, line, *made, options);
}

job_options pick_options(input& in) {
  job_options options;
  if (in.pick(2) == 1) options.model = "gpt-4o-mini";
  options.override_model = !options.model.empty() && in.pick(2) == 1;
  if (in.pick(2) == 1) options.system = "be \"brief\"";
  if (const unsigned target = in.pick(5); target > 0) {
    options.target = static_cast<endpoint>(target - 1);
  }
  options.stream = in.pick(2) == 0;
  options.include_usage = in.pick(2) == 0;
  return options;
}

}  // namespace
}  // namespace sluice::fuzz

/// The text is a job, or the bytes of a packed job.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice;
  using namespace sluice::fuzz;
  input in(data, size);
  const job_options options = pick_options(in);
  const std::uint64_t longest = in.pick(2) == 0 ? size : in.pick(64);
  if (const unsigned packed = in.pick(4); packed > 0) {
    check_packed(in.text(), packed);
    return 0;
  }
  const std::string_view text = in.text();
  if (const auto kind = foreign_file(text)) {
    for (const std::string& words : {kind->english, kind->chinese}) {
      require(is_one_line(words) && is_utf8(words), "the name of a file type is one line", words);
    }
  }
  const auto lines = cut_plainly(text, longest);
  require(read(std::make_unique<pieces>(text, std::vector<std::size_t>{}), longest) == lines,
          "whole, the lines are those of the text");
  require(read(std::make_unique<pieces>(text, every_byte(text)), longest) == lines,
          "byte by byte, the lines are those of the text");
  require(read(std::make_unique<pieces>(text, in.cuts(text)), longest) == lines,
          "in pieces, the lines are those of the text");
  for (const line& each : lines) {
    if (each.text) check_line(*each.text, each.number, options);
  }
  return 0;
}

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "fuzz/support.hpp"
#include "http/server/request_reader.hpp"

namespace sluice::fuzz {
namespace {

using http_server::request_reader;

constexpr std::size_t max_head_bytes = 512;
constexpr std::size_t most_requests = 16;

/// The requests that a connection reads from its bytes, and how the last one ends.
struct conversation {
  nlohmann::json requests = nlohmann::json::array();
  std::string end;
};

void check(const request_reader::refusal& why) {
  require(why.status == 400 || why.status == 431 || why.status == 505, "the status is of a refusal",
          std::to_string(why.status));
  require(!why.message.empty() && is_one_line(why.message), "the message is one line", why.message);
}

void check(const http_server::request_head& head) {
  require(!head.method.empty(), "a request has a method");
  require(head.path.starts_with('/'), "a path begins with a slash", head.path);
  require(head.path.find('\0') == std::string::npos, "a path holds no NUL", head.path);
  for (const auto& field : head.fields) {
    require(!field.name.empty(), "a field has a name");
    const std::string both = std::string(field.name) + std::string(field.value);
    require(both.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos,
            "a field holds no line end and no NUL", both);
  }
}

/// Reads requests, one after another, from bytes that arrive in these pieces.
class reading {
 public:
  explicit reading(std::size_t room) : room_(room) {}

  void receive(std::string_view piece) {
    bytes_ += piece;
    while (found.end.empty() && step()) {
    }
  }
  conversation finish() {
    if (found.end.empty()) found.end = in_body_ ? "in a body" : "in a head";
    if (in_body_) found.requests.push_back(body_);
    return found;
  }

 private:
  bool step() { return in_body_ ? read_body() : read_head(); }
  bool read_head() {
    if (found.requests.size() == most_requests) found.end = "enough";
    if (bytes_.empty() || !found.end.empty()) return false;
    if (!reader_) reader_ = std::make_unique<request_reader>(max_head_bytes);
    const std::string exact = bytes_;  // a copy, so that sanitizers find reads beyond its end
    const auto read = reader_->read_head(exact);
    if (!read) return false;
    if (const auto* why = std::get_if<request_reader::refusal>(&*read)) {
      check(*why);
      found.end = std::to_string(why->status);
      return false;
    }
    const auto taken = std::get<std::size_t>(*read);
    require(taken > 0 && taken <= bytes_.size() && taken <= max_head_bytes, "a head is bounded");
    bytes_.erase(0, taken);
    const auto& head = reader_->head();
    check(head);
    body_ = head.method + ' ' + head.path + ' ' + head.query + ' ' +
            std::to_string(head.content_length.value_or(0)) +
            (reader_->keep_alive() ? " stays" : " closes") +
            (reader_->expects_continue() ? " waits\n" : "\n");
    for (const auto& field : head.fields) {
      body_.append(field.name).append(":").append(field.value).append("\n");
    }
    in_body_ = true;
    return true;
  }
  bool read_body() {
    if (reader_->body_is_done()) {
      found.requests.push_back(body_);
      if (!reader_->keep_alive()) found.end = "closed";
      reader_.reset();
      in_body_ = false;
      return true;
    }
    if (bytes_.empty()) return false;
    const std::string exact = bytes_;
    std::vector<char> into(room_);
    const auto step = reader_->read_body(exact, into.data(), into.size());
    require(step.taken <= bytes_.size() && step.produced <= room_, "a step stays within its room");
    bytes_.erase(0, step.taken);
    body_.append(into.data(), step.produced);
    if (step.failed) found.end = "badly framed";
    return !step.failed && (step.taken > 0 || step.produced > 0);
  }

  std::size_t room_;
  std::string bytes_;
  std::unique_ptr<request_reader> reader_;
  bool in_body_ = false;
  std::string body_;
  conversation found;
};

std::string read(std::string_view text, std::vector<std::size_t> cuts, std::size_t room) {
  reading connection(room);
  cuts.push_back(text.size());
  std::size_t begin = 0;
  for (const std::size_t end : cuts) {
    connection.receive(text.substr(begin, end - begin));
    begin = end;
  }
  const conversation found = connection.finish();
  return found.end + '\n' +
         found.requests.dump(1, ' ', true, nlohmann::json::error_handler_t::replace);
}

}  // namespace
}  // namespace sluice::fuzz

/// The text is what a client sends on one connection.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::fuzz;
  input in(data, size);
  const std::string whole = read(in.text(), {}, 4096);
  const auto agrees = [&](const std::vector<std::size_t>& cuts, std::size_t room,
                          std::string_view how) {
    const std::string actual = read(in.text(), cuts, room);
    require(actual == whole, how, whole + "\nactual\n" + actual);
  };
  agrees({}, 3, "in a small room, the requests are the same");
  agrees(every_byte(in.text()), 4096, "byte by byte, the requests are the same");
  agrees(in.cuts(in.text()), 64, "in pieces, the requests are the same");
  return 0;
}

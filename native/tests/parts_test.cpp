// Checks of the parts that need no program. Prints what fails; the exit code is the number of failures.

#include <cstdio>
#include <string>

#include "../core/shuffle.h"
#include "edgetrain/hashing.h"
#include "edgetrain/json.h"

namespace {

int failures = 0;

void expect(bool good, const char* what) {
  if (good) return;
  ++failures;
  std::printf("failed: %s\n", what);
}

void hashing() {
  using edgetrain::hex, edgetrain::sha256;
  expect(hex(sha256("", 0)) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
         "sha256 of nothing");
  expect(hex(sha256("abc", 3)) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
         "sha256 of abc");
  const std::string long_text(1000, 'a');
  edgetrain::Sha256 pieces;
  for (size_t i = 0; i < 1000; i += 7) pieces.update(long_text.data() + i, i + 7 <= 1000 ? 7 : 1000 - i);
  expect(pieces.finish() == sha256(long_text.data(), 1000), "sha256 in pieces");
  // As hashlib.blake2b(text, digest_size=8) has them: within a block, a whole one, more than one.
  expect(edgetrain::blake2b_64("") == 0xb4b2797457a0a6e4, "blake2b of nothing");
  expect(edgetrain::blake2b_64(std::string(10, 'a')) == 0xf35be545062f55b2, "blake2b of 10 letters");
  expect(edgetrain::blake2b_64(std::string(128, 'a')) == 0xda187e9cfe4366f0, "blake2b of a block");
  expect(edgetrain::blake2b_64(std::string(129, 'a')) == 0x99a2c5b05b5362e4, "blake2b of two blocks");
  expect(edgetrain::blake2b_64(std::string(300, 'a')) == 0xa22954c7a47a398b, "blake2b of three blocks");
}

void json() {
  const auto value =
      edgetrain::parse_json(R"( {"a": [1, -2.5e3, true, null], "b": {"c": "\u00e9\ud83d\ude00\n"}} )");
  expect(value.ok(), "a good document");
  if (value.ok()) {
    expect(value->find("a")->array[1].number == -2500, "numbers");
    expect(value->find("b")->find("c")->string == "\xc3\xa9\xf0\x9f\x98\x80\n", "escapes");
  }
  for (const char* bad : {"", "{", "[1,]", "{\"a\": 1, \"a\": 2}", "01", "1 2", "nan", "\"\\x\"",
                          "\"\\ud800\"", "[1 2]", "{\"a\" 1}", "+1", "1.", "'a'", "\"\n\"", "tru"}) {
    expect(!edgetrain::parse_json(bad).ok(), bad);
  }
  expect(!edgetrain::parse_json(std::string(100000, '[')).ok(), "deep nesting");
}

}  // namespace

int main(int argc, char** argv) {
  // With arguments: COUNT SEED EPOCH prints that order, for comparison with Python's.
  if (argc == 4) {
    for (const uint32_t row :
         edgetrain::shuffled_order(std::stoul(argv[1]), std::stoull(argv[2]), std::stoull(argv[3]))) {
      std::printf("%u\n", row);
    }
    return 0;
  }
  hashing();
  json();
  return failures;
}

// The two ends of a valid/ready stream.
#pragma once

#include <algorithm>

#include "driver.h"

namespace lamina {

struct StreamSignals {
    Signal payload, valid, ready;
    uint32_t width;  // bits of payload; 0 where the port has no payload signal

    uint32_t words() const { return (width + 31) / 32; }
};

// Sends rows of words into the design. While idle the payload is garbage, so that a design that
// looks at it without valid is found out.
class InputStream final : public Endpoint {
public:
    InputStream(StreamSignals signals, const uint32_t* rows, int64_t count, uint64_t stall,
                Random random)
        : s_(signals), rows_(rows), count_(count), stall_(stall), seeded_(random),
          random_(random), garbage_(signals.words()) {}

    void restart() override {
        random_ = seeded_;
        cycles.clear();
        cycles.reserve(count_);
        idle();
    }

    void idle() override {
        holding_ = false;
        s_.valid.drive(0);
        if (!s_.payload) return;
        for (auto& word : garbage_) word = random_.next();
        if (s_.width % 32) garbage_.back() &= (1u << s_.width % 32) - 1;
        s_.payload.load(garbage_.data(), garbage_.size());
    }

    void drive(int64_t) override {
        if (holding_) return;  // once valid, the beat stays until it is taken
        if (finished() || random_.below(stall_)) return idle();
        holding_ = true;
        s_.valid.drive(1);
        if (s_.payload) s_.payload.load(rows_ + cycles.size() * s_.words(), s_.words());
    }

    bool observe(int64_t cycle) override {
        if (!holding_ || !s_.ready.high()) return false;
        holding_ = false;
        cycles.push_back(cycle);
        return true;
    }

    bool finished() const override { return int64_t(cycles.size()) == count_; }

    std::vector<int64_t> cycles;

private:
    StreamSignals s_;
    const uint32_t* rows_;
    int64_t count_;
    uint64_t stall_;
    Random seeded_, random_;
    std::vector<uint32_t> garbage_;
    bool holding_ = false;
};

// Takes rows of words from the design: `limit` of them, or all that come if it is negative.
class OutputStream final : public Endpoint {
public:
    OutputStream(std::string name, StreamSignals signals, int64_t limit, uint64_t stall,
                 Random random)
        : name_(std::move(name)), s_(signals), limit_(limit), stall_(stall), seeded_(random),
          random_(random), held_(signals.words()) {}

    void restart() override {
        random_ = seeded_;
        cycles.clear();
        rows.clear();
        // Room for what is expected, so that nothing is copied later, within reason: a limit may be
        // far above what comes.
        const int64_t expected = std::min<int64_t>(std::max<int64_t>(limit_, 0), 1 << 24);
        rows.reserve(std::min<int64_t>(expected * s_.words(), 1 << 26));
        cycles.reserve(expected);
        idle();
    }

    void idle() override {
        stalled_ = false;
        s_.ready.drive(0);
    }

    void drive(int64_t) override { s_.ready.drive(!full() && !random_.below(stall_)); }

    bool observe(int64_t cycle) override {
        if (!s_.valid.high()) {
            if (stalled_) throw ProtocolError(name_ + " must stay valid until it is taken, but "
                                              "dropped valid in cycle " + std::to_string(cycle) + ".");
            return false;
        }
        if (stalled_ && s_.payload && std::memcmp(held_.data(), s_.payload.data, compared()))
            throw ProtocolError(name_ + " must hold its payload while it is stalled, but changed it "
                                "in cycle " + std::to_string(cycle) + ".");
        stalled_ = !s_.ready.high();
        if (stalled_) {
            if (s_.payload) s_.payload.store(held_.data(), held_.size());
            return false;
        }
        cycles.push_back(cycle);
        if (s_.payload) {
            rows.resize(rows.size() + s_.words());
            s_.payload.store(&*rows.end() - s_.words(), s_.words());
        }
        return true;
    }

    bool counted() const { return limit_ >= 0; }
    bool full() const { return counted() && int64_t(cycles.size()) >= limit_; }
    bool finished() const override { return !counted() || full(); }

    std::vector<uint32_t> rows;
    std::vector<int64_t> cycles;

private:
    size_t compared() const { return std::min<size_t>(s_.payload.bytes, 4 * held_.size()); }

    std::string name_;
    StreamSignals s_;
    int64_t limit_;
    uint64_t stall_;
    Random seeded_, random_;
    std::vector<uint32_t> held_;
    bool stalled_ = false;
};

}  // namespace lamina

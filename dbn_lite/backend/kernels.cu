/* The element-wise work of a mini-batch on a GPU, each operation in one kernel.

   Compiled as plain C, as the tests do, every kernel is a loop over what its threads would do. Matrices are
   row by row, `ld` numbers from one row to the next, so that a kernel can work on some columns of a buffer.
*/
#ifdef __CUDACC__
#define KERNEL extern "C" __global__ void
#define DEVICE static __device__ __forceinline__
#define EACH(i, n) for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += gridDim.x * blockDim.x)
#else
#include <math.h>
#define KERNEL void
#define DEVICE static
#define EACH(i, n) for (u32 i = 0; i < (n); i++)
#endif

typedef unsigned int u32;

/* Philox4x32-10 (Salmon et al. 2011): 128 random bits, in place of the counter that they are made from. */
DEVICE void philox(u32 c[4], u32 key0, u32 key1) {
  for (int round = 0; round < 10; round++) {
    unsigned long long p0 = 0xD2511F53ull * c[0], p1 = 0xCD9E8D57ull * c[2];
    u32 c1 = c[1], c3 = c[3];
    c[0] = (u32)(p1 >> 32) ^ c1 ^ key0;
    c[1] = (u32)p1;
    c[2] = (u32)(p0 >> 32) ^ c3 ^ key1;
    c[3] = (u32)p0;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

DEVICE float half_tanh(float x) { return tanhf(0.5f * x); }

/* One row of x becomes softmax(x + bias), eq. 10. */
DEVICE void softmax_row(float *x, const float *bias, u32 cols) {
  float highest = x[0] + bias[0], sum = 0.0f;
  for (u32 j = 0; j < cols; j++) {
    x[j] += bias[j];
    if (x[j] > highest) highest = x[j];
  }
  for (u32 j = 0; j < cols; j++) sum += x[j] = expf(x[j] - highest);
  for (u32 j = 0; j < cols; j++) x[j] /= sum;
}

/* x = logistic(x + bias) */
KERNEL logistic(float *x, u32 ld, const float *bias, u32 rows, u32 cols) {
  EACH(i, rows * cols) {
    float *at = x + (i / cols) * ld + i % cols;
    *at = 0.5f * half_tanh(*at + bias[i % cols]) + 0.5f;
  }
}

/* out = 1 with probability logistic(x + bias), else 0; then x = that probability, if it is to be kept.
   A thread draws once and serves four elements, a quarter of the matrix apart: neighbours stay neighbours. */
KERNEL sample(float *x, u32 ld, const float *bias, float *out, u32 ld_out, u32 rows, u32 cols, u32 keep_probs,
              u32 key0, u32 key1, const u32 *step, u32 site) {
  u32 n = rows * cols, quarter = (n + 3) / 4;
  EACH(t, quarter) {
    u32 bits[4] = {t, site, *step, 0};
    float half[4] = {0.0f, 0.0f, 0.0f, 0.0f}; /* all are read before one is written: out may be x */
    philox(bits, key0, key1);
    for (u32 k = 0; k < 4; k++) {
      u32 i = t + k * quarter;
      if (i < n) half[k] = half_tanh(x[i / cols * ld + i % cols] + bias[i % cols]);
    }
    for (u32 k = 0; k < 4; k++) {
      u32 i = t + k * quarter;
      if (i >= n) continue;
      short threshold = (short)(32767.0f * half[k]), r = (short)(bits[k] & 0xFFFFu);
      if (keep_probs) x[i / cols * ld + i % cols] = 0.5f * half[k] + 0.5f;
      out[i / cols * ld_out + i % cols] = r < threshold;
    }
  }
}

KERNEL softmax(float *x, u32 ld, const float *bias, u32 rows, u32 cols) {
  EACH(row, rows) softmax_row(x + row * ld, bias, cols);
}

/* One unit of each row of x turns on, unit j with probability softmax(x + bias)_j. */
KERNEL sample_softmax(float *x, u32 ld, const float *bias, u32 rows, u32 cols, u32 key0, u32 key1, const u32 *step,
                      u32 site) {
  EACH(row, rows) {
    float *p = x + row * ld, sum = 0.0f, below = 0.0f;
    u32 bits[4] = {row, site, *step, 0}, chosen = 0;
    softmax_row(p, bias, cols);
    philox(bits, key0, key1);
    for (u32 j = 0; j < cols; j++) sum += p[j];
    float place = (float)(bits[0] >> 8) * (1.0f / 16777216.0f) * sum;
    for (u32 j = 0; j < cols; j++) {
      below += p[j];
      chosen += below < place;
    }
    for (u32 j = 0; j < cols; j++) p[j] = j == chosen;
  }
}

/* parameter = shrink * parameter + velocity */
KERNEL advance(float *parameter, const float *velocity, float shrink, u32 n) {
  EACH(i, n) parameter[i] = shrink * parameter[i] + velocity[i];
}

/* The count of mini-batches lives on the device, so that a replayed graph draws new numbers. */
KERNEL tick(u32 *step) { EACH(i, 1u) step[i] += 1; }

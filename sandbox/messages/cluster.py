"""Texts of the cluster's errors: what is wrong with workers elsewhere, and what would help."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    "ray_missing": (
        "The setting executor is ray, and Ray is not installed: pip install 'data-sandbox[ray]'.",
        "设置 executor 为 ray，但未安装 Ray：pip install 'data-sandbox[ray]'。",
    ),
    "ray_unprotected": (
        "The Ray cluster ({machines}) is not guarded. Set RAY_AUTH_MODE=token, and RAY_USE_TLS=1 between machines.",
        "Ray 集群（{machines}）未受保护。请设置 RAY_AUTH_MODE=token，跨机器时另设 RAY_USE_TLS=1。",
    ),
    "ray_unreachable": (
        "No Ray cluster answers at {address} ({kind}). Check ray_address, the token and the certificates.",
        "{address} 处没有应答的 Ray 集群（{kind}）。请检查 ray_address、令牌与证书。",
    ),
    "worker_absent": (
        "No worker of the cluster answered within {seconds} seconds. Each needs a free core: see `ray status`.",
        "集群中没有工作进程在 {seconds} 秒内应答。请检查 `ray status`：每个工作进程需要一个空闲核。",
    ),
    "worker_failed": (
        "A worker of the cluster failed with {kind} at {place}.",
        "集群的一个工作进程在 {place} 处失败（{kind}）。",
    ),
    "worker_late": (
        "{missing} parts of the work had no answer from the cluster within {seconds} seconds (setting ray_seconds).",
        "有 {missing} 部分工作在 {seconds} 秒内没有得到集群应答（设置 ray_seconds）。",
    ),
    "worker_lost": (
        "{times} workers died of the same part of the work. Look at their memory: each holds cache_mb and a bucket.",
        "同一部分工作已使 {times} 个工作进程死亡。请检查其内存：每个需要 cache_mb 与一个分桶。",
    ),
    "worker_refused": (
        "A worker of the cluster cannot work: {problem}. Check its home (ray_home), keys and object store there.",
        "集群的一个工作进程无法工作：{problem}。请检查该机上的主目录（ray_home）、密钥与对象存储。",
    ),
    "worker_release": (
        "A worker of the cluster runs release {found}, this gateway {wanted}. Install the same everywhere.",
        "集群的一个工作进程版本为 {found}，本网关为 {wanted}。请统一安装同一版本。",
    ),
}

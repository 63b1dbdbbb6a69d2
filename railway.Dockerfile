# The released image, for Railway, which reads railway.json of a service that is built; it sets PORT itself.
FROM ghcr.io/task-master-pro/task-master-pro:0.1.0

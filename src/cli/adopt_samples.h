/* What Docker 20.10.24 says of a container and of its image (docker inspect), without the fields
 * that nothing here reads. For tests. */
#ifndef CONTINUO_CLI_ADOPT_SAMPLES_H
#define CONTINUO_CLI_ADOPT_SAMPLES_H

/* docker run -d --name shop_web_1 --label com.docker.compose.project=shop ...service=web
 * ...container-number=1 -e A=1 -e 'B=two words' -p 8080:80 -p 127.0.0.1:9443:443
 * -v /srv/site:/srv:ro -v shopdata:/data --tmpfs /scratch:size=16m -m 64m --cpus 0.5
 * --restart unless-stopped -u 101:102 --cap-add NET_ADMIN --cap-drop ALL
 * --device /dev/null:/dev/sensor:r --health-cmd true --health-interval 5s -w /srv --hostname web1
 * --add-host db:10.0.0.9 --init box:1 sh -c '...' */
static const char sample_web[] =
	"{\"Id\":\"6383bfa1f9bd9b5d41e56110b6f0f501189179190cd6ba03c5030d1c4905b212\",\"Na"
	"me\":\"/shop_web_1\",\"State\":{\"Status\":\"running\",\"Running\":true,\"Paused\":false,"
	"\"Restarting\":false,\"Pid\":24773,\"StartedAt\":\"2026-11-30T14:38:36.87497427Z\"},"
	"\"Image\":\"sha256:7cf690dd7558fea964649260662e9e52dd6b4842ac8aa05f1e0a44a4396d"
	"18a6\",\"HostConfig\":{\"Binds\":[\"shopdata:/data\",\"/srv/site:/srv:ro\"],\"LogConfi"
	"g\":{\"Type\":\"json-file\",\"Config\":{}},\"NetworkMode\":\"default\",\"PortBindings\":{"
	"\"443/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"9443\"}],\"80/"
	"tcp\":[{\"HostIp\":\"\","
	"\"HostPort\":\"8080\"}]},\"RestartPolicy\":{\"Name\":\"unless-stopped\",\"MaximumRetryC"
	"ount\":0},\"AutoRemove\":false,\"CapAdd\":[\"CAP_NET_ADMIN\"],\"CapDrop\":[\"ALL\"],\"Dn"
	"s\":[],\"ExtraHosts\":[\"db:10.0.0.9\"],\"GroupAdd\":null,\"IpcMode\":\"private\",\"Link"
	"s\":null,\"PidMode\":\"\",\"Privileged\":false,\"ReadonlyRootfs\":false,\"SecurityOpt\""
	":null,\"Tmpfs\":{\"/scratch\":\"size=16m\"},\"ShmSize\":67108864,\"CpuShares\":0,\"Memo"
	"ry\":67108864,\"NanoCpus\":500000000,\"CpuPeriod\":0,\"CpuQuota\":0,\"CpusetCpus\":\"\""
	",\"Devices\":[{\"PathOnHost\":\"/dev/null\",\"PathInContainer\":\"/dev/sensor\",\"Cgrou"
	"pPermissions\":\"r\"}],\"DeviceCgroupRules\":null,\"DeviceRequests\":null,\"MemoryRe"
	"servation\":0,\"PidsLimit\":null,\"Ulimits\":[],\"Init\":true},\"Mounts\":[{\"Type\":\"v"
	"olume\",\"Name\":\"shopdata\",\"Source\":\"/var/lib/docker/volumes/shopdata/_data\",\""
	"Destination\":\"/"
	"data\",\"Driver\":\"local\",\"Mode\":\"z\",\"RW\":true,\"Propagation\":\"\"}"
	",{\"Type\":\"bind\",\"Source\":\"/srv/site\",\"Destination\":\"/"
	"srv\",\"Mode\":\"ro\",\"RW\":f"
	"alse,\"Propagation\":\"rprivate\"}],\"Config\":{\"Hostname\":\"web1\",\"User\":\"101:102\""
	",\"ExposedPorts\":{\"443/tcp\":{},\"80/tcp\":{}},\"Tty\":false,\"OpenStdin\":false,\"En"
	"v\":[\"A=1\",\"B=two words\",\"PATH=/bin\"],\"Cmd\":[\"sh\",\"-c\",\"trap \\\"exit 0\\\" "
	"TERM;"
	" while :; do sleep 1; done\"],\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"true\"],\"Int"
	"erval\":5000000000},\"Image\":\"box:1\",\"WorkingDir\":\"/srv\",\"Entrypoint\":null,\"La"
	"bels\":{\"com.docker.compose.container-number\":\"1\",\"com.docker.compose.oneoff\""
	":\"False\",\"com.docker.compose.project\":\"shop\",\"com.docker.compose.service\":\"w"
	"eb\"}},\"NetworkSettings\":{\"IPAddress\":\"172.17.0.2\",\"Networks\":{\"bridge\":{\"IPA"
	"ddress\":\"172.17.0.2\",\"Aliases\":null}}}}";

static const char sample_box[] =
	"{\"Id\":\"sha256:7cf690dd7558fea964649260662e9e52dd6b4842ac8aa05f1e0a44a4396d18"
	"a6\",\"RepoTags\":[\"box:1\"],\"RepoDigests\":[],\"Config\":{\"User\":\"\",\"Env\":["
	"\"PATH=/"
	"bin\"],\"Cmd\":[\"sleep\",\"1000\"],\"WorkingDir\":\"\",\"Entrypoint\":null}}";

#endif

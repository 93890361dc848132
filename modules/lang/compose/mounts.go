package compose

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/containust/containust/modules/lang/schema"
)

// maxFileText is what .ctst takes as the text of a file.
const maxFileText = 1 << 20

// mountAll writes volumes, tmpfs, files and secrets.
func (c *converter) mountAll(s *component) error {
	if err := c.volumesOf(s, s, "volumes", false, nil); err != nil {
		return err
	}
	for i, from := range s.VolumesFrom {
		if err := c.volumesFrom(s, from, c.item(s, "volumes_from", i, len(s.VolumesFrom))); err != nil {
			return err
		}
	}
	c.tmpfsOf(s)
	for i, ref := range s.Configs {
		if err := c.config(s, types.FileReferenceConfig(ref), c.item(s, "configs", i, len(s.Configs))); err != nil {
			return err
		}
	}
	for i, ref := range s.Secrets {
		if err := c.secret(s, types.FileReferenceConfig(ref), c.item(s, "secrets", i, len(s.Secrets))); err != nil {
			return err
		}
	}
	if s.volumes != nil {
		s.setList(c, "volumes", s.volumes)
	}
	if s.files != nil {
		s.set("files", mapping(s.files))
	}
	if s.secrets != nil {
		s.setList(c, "secrets", s.secrets)
	}
	return nil
}

// claim takes a path inside of the component. False: it is taken.
func (c *converter) claim(s *component, attribute, target string, at place) bool {
	target = path.Clean(target)
	if s.mounts[target] {
		c.lose(s, attribute, at, "something is mounted on %s already", target)
		return false
	}
	s.mounts[target] = true
	return true
}

// volumesOf gives a component the volumes of a service: its own, or those of
// another one.
func (c *converter) volumesOf(s, of *component, attribute string, readOnly bool, at *place) error {
	for i, v := range of.Volumes {
		where := c.item(of, "volumes", i, len(of.Volumes))
		if at != nil {
			where = *at
		}
		if at != nil && s.mounts[path.Clean(v.Target)] {
			continue // its own mount stands over that of another one
		}
		v.ReadOnly = v.ReadOnly || readOnly
		if err := c.volume(s, of, attribute, v, where); err != nil {
			return err
		}
	}
	return nil
}

func (c *converter) volumesFrom(s *component, from string, at place) error {
	name, mode, _ := strings.Cut(from, ":")
	if name == "container" {
		c.lose(s, "volumes_from", at, "%s is of no service: name its volumes with `volumes`", from)
		return nil
	}
	of, err := c.target(s, "volumes_from", name, at, true)
	if err != nil || of == nil {
		return err
	}
	return c.volumesOf(s, of, "volumes_from", mode == "ro", &at)
}

// volume adds one mount of a service to a component.
func (c *converter) volume(s, of *component, attribute string, v types.ServiceVolumeConfig, at place) error {
	if v.Type == types.VolumeTypeTmpfs {
		if c.claim(s, attribute, v.Target, at) {
			size := ""
			if v.Tmpfs != nil && v.Tmpfs.Size > 0 {
				size = schema.FormatSize(int64(v.Tmpfs.Size))
			}
			c.addTmpfs(s, attribute, v.Target, size, at)
		}
		return nil
	}
	source, ok, err := c.source(s, of, attribute, v, at)
	if err != nil || !ok {
		return err
	}
	text := source + ":" + v.Target
	if v.ReadOnly {
		text += ":ro"
	}
	if _, problem := schema.ParseVolume(c.expand(text)); problem != nil {
		c.lose(s, attribute, at, "%s", problem.Summary)
		return nil
	}
	if c.claim(s, attribute, v.Target, at) {
		s.volumes = append(s.volumes, text)
	}
	return nil
}

// source returns what is in front of the colon of a volume.
func (c *converter) source(s, of *component, attribute string, v types.ServiceVolumeConfig, at place) (string, bool, error) {
	switch v.Type {
	case types.VolumeTypeBind:
		if v.Bind != nil && v.Bind.Propagation != "" && v.Bind.Propagation != types.PropagationRPrivate {
			c.lose(s, attribute, at, "%s: what is mounted later does not go in or out: propagation is always rprivate", v.Target)
		}
		source := c.hostPath(v.Source)
		if !refers(v.Source) && !c.opts.Exists(c.path(v.Source)) {
			c.remark(s, attribute, at, "%s is not there; Docker would make a folder, ctst does not: mkdir -p %s", source, source)
		}
		return source, true, nil
	case types.VolumeTypeVolume:
		if v.Source == "" {
			name := c.volumeName.give(of.Name+":"+v.Target, volumeIdentifier(of.name+v.Target), sameName)
			c.remark(s, attribute, at, "%s has a volume without a name: it is %s", v.Target, name)
			return name, true, nil
		}
		return c.named(s, attribute, v.Source, at)
	}
	c.lose(s, attribute, at, "%s: ctst mounts no %s", v.Target, v.Type)
	return "", false, nil
}

// named returns the name of a volume, or the folder that one of the driver
// local is bound to.
func (c *converter) named(s *component, attribute, source string, at place) (string, bool, error) {
	config, ok := c.volumes[source]
	if _, there := c.model.section("volumes")[source]; !ok && !there {
		return "", false, at.errorf("services.%s.volumes: there is no volume %q", s.Name, source)
	}
	top := c.model.place("volumes", source)
	if config.Driver != "" && config.Driver != "local" {
		c.lose(nil, "volumes."+source+".driver", top, "volumes are folders of the project: nothing of the driver %s is there", config.Driver)
	} else if device := config.DriverOpts["device"]; slices.Contains(strings.Split(config.DriverOpts["o"], ","), "bind") && device != "" {
		return c.hostPath(device), true, nil
	}
	if len(config.DriverOpts) > 0 {
		c.lose(nil, "volumes."+source+".driver_opts", top, "volumes are folders of the project; what is mounted on the machine can be given by its path")
	}
	if config.External {
		c.lose(nil, "volumes."+source+".external", top, "the content of Docker's volume stays where it is: the project has one of its own, which starts with the image's files")
	}
	name := c.volumeName.give(source, volumeIdentifier(source), sameName)
	if name != source {
		c.remark(s, attribute, at, "the volume %s is called %s, because names of volumes have a–z, 0–9, _, . and -", source, name)
	}
	return name, true, nil
}

// hostPath returns a path of the project as it is written: relative to the
// folder of the source, with ./ in front.
func (c *converter) hostPath(name string) string {
	if rest, ok := strings.CutPrefix(name, "/"+string(opening)); ok {
		return string(opening) + rest // ~, see keepHome
	}
	if filepath.IsAbs(name) || path.IsAbs(name) {
		return filepath.ToSlash(name)
	}
	relative := filepath.ToSlash(filepath.Clean(c.path(name)))
	if absolute, err := filepath.Abs(c.path(name)); err == nil {
		relative = filepath.ToSlash(absolute)
		if rel, err := filepath.Rel(c.output, absolute); err == nil && len(rel) < len(absolute) {
			relative = filepath.ToSlash(rel)
		}
	}
	switch {
	case path.IsAbs(relative), relative == ".", relative == "..", strings.HasPrefix(relative, "../"):
		return relative
	}
	return "./" + relative
}

// tmpfsOf collects the tmpfs entries and the size of /dev/shm.
func (c *converter) tmpfsOf(s *component) {
	for i, text := range s.Tmpfs {
		at := c.item(s, "tmpfs", i, len(s.Tmpfs))
		target, options, _ := strings.Cut(text, ":")
		size := ""
		for option := range strings.SplitSeq(options, ",") {
			value, isSize := strings.CutPrefix(option, "size=")
			var n types.UnitBytes
			switch {
			case option == "":
			case isSize && n.DecodeMapstructure(value) == nil && n > 0:
				size = schema.FormatSize(int64(n))
			default:
				c.lose(s, "tmpfs", at, "%s: the option %s has no counterpart", target, option)
			}
		}
		if c.claim(s, "tmpfs", target, at) {
			c.addTmpfs(s, "tmpfs", target, size, at)
		}
	}
	if s.ShmSize > 0 && c.claim(s, "shm_size", "/dev/shm", c.at(s, "shm_size")) {
		c.addTmpfs(s, "shm_size", "/dev/shm", schema.FormatSize(int64(s.ShmSize)), c.at(s, "shm_size"))
	}
}

func (c *converter) addTmpfs(s *component, attribute, target, size string, at place) {
	text := target
	if size != "" {
		text += ":" + size
	}
	if _, problem := schema.ParseTmpfs(text); problem != nil {
		c.lose(s, attribute, at, "%s", problem.Summary)
		return
	}
	s.tmpfs = append(s.tmpfs, text)
}

// config adds a config of the project to the files of a component.
func (c *converter) config(s *component, ref types.FileReferenceConfig, at place) error {
	config, ok := c.configs[ref.Source]
	if !ok {
		return at.errorf("services.%s.configs: there is no config %q", s.Name, ref.Source)
	}
	target := ref.Target
	if target == "" {
		target = ref.Source
	}
	if !path.IsAbs(target) {
		target = "/" + target
	}
	switch {
	case config.File != "":
		c.file(s, "configs", target, config.File, ref.Mode, at)
	case bool(config.External):
		c.lose(s, "configs", at, "the config %s is kept by Docker: put its text into .containust/secrets/%s", ref.Source, c.secretIdentifier(ref.Source))
		c.secretText(s, "configs", target, ref.Source, at)
	case config.Environment != "":
		v, _ := c.reference(expression{name: config.Environment, operator: "?"}, &scope{})
		if nameLength(config.Environment) != len(config.Environment) {
			return at.errorf("configs.%s: %q is no name of a variable", ref.Source, config.Environment)
		}
		c.fileText(s, "configs", target, c.keep(v), ref.Mode, at)
	default:
		if err := noNUL(config.Content, at); err != nil {
			return err
		}
		c.fileText(s, "configs", target, config.Content, ref.Mode, at)
	}
	return nil
}

// secret adds a secret of the project to a component: a file as a file, others
// as secrets.
func (c *converter) secret(s *component, ref types.FileReferenceConfig, at place) error {
	secret, ok := c.project.secrets[ref.Source]
	if !ok {
		return at.errorf("services.%s.secrets: there is no secret %q", s.Name, ref.Source)
	}
	target := ref.Target
	if !path.IsAbs(target) {
		target = path.Join("/run/secrets", target)
	}
	if secret.File != "" {
		c.file(s, "secrets", target, secret.File, ref.Mode, at)
		return nil
	}
	name := c.secretIdentifier(ref.Source)
	variable := "CONTAINUST_SECRET_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	if secret.External {
		c.lose(s, "secrets", at, "the secret %s is kept by Docker: put it into .containust/secrets/%s (mode 0600), or into the variable %s", ref.Source, name, variable)
	} else {
		c.remark(s, "secrets", at, "the secret %s is in %s for Compose: put it into %s, or into .containust/secrets/%s (mode 0600)", ref.Source, secret.Environment, variable, name)
	}
	if target == "/run/secrets/"+name {
		if c.claim(s, "secrets", target, at) {
			s.secrets = append(s.secrets, name)
		}
		return nil
	}
	c.secretText(s, "secrets", target, ref.Source, at)
	return nil
}

// secretIdentifier returns the name of a secret in the letters that .ctst has
// for them.
func (c *converter) secretIdentifier(name string) string {
	return c.secretName.give(name, identifier(name), foldName)
}

func (c *converter) secretText(s *component, attribute, target, source string, at place) {
	c.fileText(s, attribute, target, c.keep(variable{name: c.secretIdentifier(source), secret: true}), nil, at)
}

// file adds a file of the host.
func (c *converter) file(s *component, attribute, target, source string, mode *types.FileMode, at place) {
	if !c.claimFile(s, attribute, target, at) {
		return
	}
	text := c.hostPath(source)
	if !c.opts.Exists(c.path(source)) {
		c.remark(s, attribute, at, "%s is not there", text)
	}
	entries := []entry{{"source", c.quote(text, tab)}}
	if mode != nil && *mode != 0o444 {
		octal := fmt.Sprintf("%04o", int64(*mode))
		if _, problem := schema.ParseMode(octal); problem != nil {
			c.lose(s, attribute+".mode", at, "%s", problem.Summary)
		} else {
			entries = append(entries, entry{"mode", c.quote(octal, tab)})
		}
	}
	s.files = append(s.files, entry{target, inline(entries...)})
}

// fileText adds a file whose text stands in the source.
func (c *converter) fileText(s *component, attribute, target, text string, mode *types.FileMode, at place) {
	if !c.claimFile(s, attribute, target, at) {
		return
	}
	if len(text) > maxFileText {
		c.lose(s, attribute, at, "the text of %s is larger than 1 MiB: put it into a file of its own", target)
		return
	}
	if mode != nil && *mode != 0o444 {
		c.lose(s, attribute+".mode", at, "%s is readable by all in the component, or by root alone where it holds a secret", target)
	}
	s.files = append(s.files, entry{target, c.quote(text, tab+tab)})
}

func (c *converter) claimFile(s *component, attribute, target string, at place) bool {
	if problem := schema.CheckTarget(target); problem != nil {
		c.lose(s, attribute, at, "%s", problem.Summary)
		return false
	}
	return c.claim(s, attribute, target, at)
}
